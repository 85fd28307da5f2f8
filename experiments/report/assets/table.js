"use strict";
// A table whose columns sort, by mouse and keyboard.

/**
 * A sortable table.
 *
 * A column has `label`, `value(row)` to sort by, and where they differ `cell(row)`, what is shown; `numeric` columns
 * are set flush right and sort from large to small first.
 */
class SortableTable {
  constructor(container, { caption, columns, empty = "Nothing here." }) {
    this.columns = columns;
    this.rows = [];
    this.sorted = { column: null, descending: false };
    this.empty = empty;
    this.body = element("tbody");
    this.heads = columns.map((column) => {
      const button = element("button", { type: "button", onclick: () => this.sortBy(column) }, column.label);
      return element("th", { scope: "col", class: column.numeric ? "numeric" : null, "aria-sort": "none" }, button);
    });
    const head = element("thead", {}, element("tr", {}, ...this.heads));
    container.replaceChildren(element("table", {}, element("caption", {}, caption), head, this.body));
  }

  show(rows) {
    this.rows = rows;
    this.draw();
  }

  sortBy(column) {
    const again = this.sorted.column === column;
    this.sorted = { column, descending: again ? !this.sorted.descending : Boolean(column.numeric) };
    this.draw();
  }

  draw() {
    const { column, descending } = this.sorted;
    const rows = column
      ? this.rows.toSorted((a, b) => this.order(column.value(a), column.value(b), descending))
      : this.rows;
    this.columns.forEach((one, index) => {
      const direction = one !== column ? "none" : descending ? "descending" : "ascending";
      this.heads[index].setAttribute("aria-sort", direction);
    });
    this.body.replaceChildren(...rows.map((row) => this.line(row)));
    if (!rows.length)
      this.body.append(element("tr", {}, element("td", { colspan: this.columns.length, class: "empty" }, this.empty)));
  }

  /** What is missing stays last in both directions. */
  order(a, b, descending) {
    const isMissing = (value) => value === null || value === undefined || value === "";
    return descending && !isMissing(a) && !isMissing(b) ? compare(b, a) : compare(a, b);
  }

  line(row) {
    const cells = this.columns.map((column) => {
      const shown = column.cell ? column.cell(row) : column.value(row);
      return element(
        "td",
        { class: column.numeric ? "numeric" : null },
        shown instanceof Node ? shown : String(shown ?? "–"),
      );
    });
    return element("tr", {}, ...cells);
  }
}
