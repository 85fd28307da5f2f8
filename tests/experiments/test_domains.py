from pathlib import Path

import pytest

from experiments.domains import main, names

RAIN = """\
about: does rain wet every A?
slots: [A]
premises: p1
items:
  p1: rain wets the {A}
  both: [rain fell, "it wet the {A}"]
"""


def test_a_world_is_shown_as_a_person_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "bigger_than", "--seed", "3"])
    assert capsys.readouterr().out.splitlines() == [
        "bigger_than: A is bigger than B and B than C, so is A bigger than C, and not C than A?",
        "seed 3, world 0, A = bamdolnorko, B = jonmozor, C = vemdri",
        "",
        "item          text                                 desideratum   expected after both",
        "both          bamdolnorko is bigger than jonmozor  memorisation  strongly up",
        "              jonmozor is bigger than vemdri",
        "p1            bamdolnorko is bigger than jonmozor  memorisation  strongly up",
        "p2            jonmozor is bigger than vemdri       memorisation  strongly up",
        "entailed      bamdolnorko is bigger than vemdri    transitivity  up",
        "contradicted  vemdri is bigger than bamdolnorko    logic         down",
    ]


def test_the_crossed_chains_of_a_world_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["show", "bigger_than", "--chains", "2"])
    about, names, _, header, *rows = capsys.readouterr().out.splitlines()
    assert about.startswith("bigger_than: A is bigger than B")
    assert names.startswith("seed 0, world 0, A = ")
    assert header.split() == ["item", "text", "desideratum", "expected", "after", "joint_00"]
    items = [row.split()[0] for row in rows if not row.startswith(" ")]
    pairings = [f"{kind}_{bits}" for kind in ("joint", "broken") for bits in ("00", "01", "10", "11")]
    assert items[:6] == [*pairings[:4], "link1_00", "link2_00"]
    assert items[6:10] == pairings[4:]
    assert len(rows) == 8 * 4 + 12


def test_a_domain_without_chains_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="domains: expected one item of role p2 in symmetric"):
        main(["show", "symmetric", "--chains", "2"])


def test_every_domain_is_listed_with_its_question(capsys: pytest.CaptureFixture[str]) -> None:
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == names()
    assert "taxonomy        every A is a B and every B is a C, so is every A a C, and not every C a A?" in lines


def test_every_domain_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    for name in names():
        main(["show", name])
        assert capsys.readouterr().out.startswith(f"{name}: ")


def test_a_domain_is_added_by_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rain.yaml").write_text(RAIN)
    main(["list", "--folder", str(tmp_path)])
    assert capsys.readouterr().out == "rain            does rain wet every A?\n"
    main(["show", "rain", "--folder", str(tmp_path), "--world", "1"])
    assert capsys.readouterr().out.splitlines() == [
        "rain: does rain wet every A?",
        "seed 0, world 1, A = pakeldritro",
        "",
        "item  text                       desideratum   expected after p1",
        "p1    rain wets the pakeldritro  memorisation  strongly up",
        "both  rain fell                  memorisation  strongly up",
        "      it wet the pakeldritro",
    ]


def test_an_unknown_domain_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    for name in "rain", "snow":
        (tmp_path / f"{name}.yaml").write_text(RAIN)
    with pytest.raises(SystemExit) as refusal:
        main(["show", "hail", "--folder", str(tmp_path)])
    path = tmp_path / "hail.yaml"
    assert refusal.value.code == f"domains: expected a domain (rain, snow), got 'hail'; correct it, or write {path}"


def test_a_bad_file_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "rain.yaml").write_text(RAIN.replace("p1: rain", "first: rain"))
    with pytest.raises(SystemExit) as refusal:
        main(["show", "rain", "--folder", str(tmp_path)])
    assert str(refusal.value.code).startswith(f"domains: {tmp_path / 'rain.yaml'}, line 3: expected an item (first, ")
