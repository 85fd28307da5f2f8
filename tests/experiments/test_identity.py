"""Two runs share their hash exactly when their numbers must agree."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from experiments import identity
from experiments.identity import MODEL_FILES, base_hash, run_hash
from tests.experiments.commands import composed


def hashes(*overrides: str) -> tuple[str, str]:
    """Of the run and of its base model."""
    cfg = composed(*overrides)
    return run_hash(cfg), base_hash(cfg)


@pytest.fixture(scope="module")
def plain() -> tuple[str, str]:
    return hashes("data=digits")


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        ("fig1_cnn", ("18337b0859f6", "6b6c3d3e9fed")),
        ("digits", ("a882ad096a32", "cfd239437df4")),
    ],
)
def test_a_change_of_the_hash_is_noticed(experiment, expected):
    """Another hash measures every kept run anew: right for other numbers or a new setting, wrong for anything else."""
    assert hashes(f"experiment={experiment}") == expected


@pytest.mark.parametrize(
    "override",
    [
        "name=other",
        "outputs=elsewhere",
        "data.folder=elsewhere",
        "trust=[thirdparty]",
        "engine.device=cpu",
        "engine.threads=1",
        "engine.batch_size=7",
        "engine.block_size=7",
        "tracking=off",
        "tracking.project=other",
        "estimator.self_gain=0.3",  # as it is
        "readout=log_prob",
    ],
)
def test_what_does_not_decide_the_numbers_keeps_the_hash(override, plain):
    assert hashes("data=digits", override) == plain


@pytest.mark.parametrize(
    "override",
    [
        "estimator=first_order",
        "estimator.optimizer=adam",
        "+estimator.optimizer_options.momentum=0.9",
        "estimator.lr=0.3",
        "estimator.self_gain=0.31",
        "estimator.num_steps=2",
        "estimator.parameters=[output.*]",
        "estimator.train_mode=true",
        "readout=logit",
        "data.domain=digits_rotated",
        "data.split=train",
        "data.probes.classes=[0,1]",
        "data.probes.per_class=4",
        "data.probes.seed=1",
        "data.probes.sigmas=[0.0]",
        "data.probes.draws=[1]",
        "data.probes.clip=true",
        "data.probes.pure_noise=1",
        "data.embedding=2",
    ],
)
def test_what_is_measured_changes_the_run_and_not_its_base_model(override, plain):
    run, base = hashes("data=digits", override)
    assert run != plain[0]
    assert base == plain[1]


@pytest.mark.parametrize(
    "override",
    [
        "data.base=digits",
        "model.channels=[8,16]",
        "model.hidden=32",
        "model.activation=tanh",
        "model.pooling=mean",
        "model.lr=0.01",
        "trainer.epochs=3",
        "trainer.batch_size=64",
        "trainer.seed=1",
        "seed=1",
    ],
)
def test_what_the_base_model_is_changes_both(override, plain):
    run, base = hashes("data=digits", override)
    assert run != plain[0]
    assert base != plain[1]


TEXT = ("data=domain", "data.domain=transitivity", "model=hf", "model.source=some/model")


def test_how_a_base_model_would_be_trained_is_no_matter_to_a_language_model():
    assert hashes(*TEXT) == hashes(*TEXT, "trainer.epochs=9")


@pytest.mark.parametrize(
    "override",
    ["data.worlds=3", "data.style=matched", "data.seed=1", "data.domain=squares", "estimator=prompt", "seed=1"],
)
def test_what_is_said_changes_the_run_and_not_its_model(override):
    before, after = hashes(*TEXT), hashes(*TEXT, override)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_which_items_are_learned_is_another_run_and_their_order_is_not():
    every, some, same = (hashes(*TEXT, *of) for of in ([], ["data.probes=[p1,both]"], ["data.probes=[both,p1]"]))
    assert some == same
    assert some[0] != every[0]
    assert some[1] == every[1]


NOUNS = ("data=nouns", "model=hf", "model.source=some/model")


@pytest.mark.parametrize(
    "override",
    [
        "data.worlds=3",
        "data.categories=3",
        "data.per_category=4",
        "data.frames=1",
        "data.noises=[typos]",
        "data.draws=[0,1]",
        "data.seed=1",
    ],
)
def test_other_sentences_about_nouns_are_another_run(override):
    before, after = hashes(*NOUNS), hashes(*NOUNS, override)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_the_lexicon_counts_by_its_content(tmp_path, monkeypatch):
    before = hashes(*NOUNS)
    for name, text in {"same": identity.LEXICON.read_text(), "other": "category,noun,embed_0"}.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(identity, "LEXICON", tmp_path / name)
        after = hashes(*NOUNS)
        assert (after[0] == before[0]) == (name == "same")
        assert after[1] == before[1]


CHAINS = ("data=chains", "data.domain=causal", "model=hf", "model.source=some/model")


@pytest.mark.parametrize("override", ["data.length=3", "data.broken=true", "data.worlds=3", "data.style=paper"])
def test_chains_of_another_kind_are_another_run(override):
    before, after = hashes(*CHAINS), hashes(*CHAINS, override)
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_chains_count_by_the_content_of_their_domain(tmp_path):
    (tmp_path / "causal.yaml").write_text("about: it")
    assert hashes(*CHAINS, f"data.folder={tmp_path}")[0] != hashes(*CHAINS)[0]


@pytest.mark.parametrize("override", ["model.dtype=bfloat16", "model.revision=main", "+model.lora.r=8"])
def test_another_language_model_changes_both(override):
    assert not set(hashes(*TEXT)) & set(hashes(*TEXT, override))


def test_a_domain_counts_by_the_content_of_its_file(tmp_path):
    for folder, text in {"one": "about: it", "same": "about: it", "other": "about: that"}.items():
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.yaml").write_text(text)
    one, same, other = (
        hashes(*TEXT, "data.domain=mine", f"data.folder={tmp_path / folder}") for folder in ("one", "same", "other")
    )
    assert one == same
    assert one[0] != other[0]


def test_a_folder_of_a_language_model_counts_by_its_content(tmp_path):
    for folder, weight in {"one": 1.0, "same": 1.0, "other": 2.0}.items():
        (tmp_path / folder).mkdir()
        save_file({"weight": np.array([weight])}, tmp_path / folder / "model.safetensors")
    one, same, other = (hashes(*TEXT, f"model.source={tmp_path / folder}") for folder in ("one", "same", "other"))
    (tmp_path / "other" / "model.safetensors").write_bytes((tmp_path / "one" / "model.safetensors").read_bytes())
    (tmp_path / "other" / "chat_template.jinja").write_text("{{ messages }}")
    (tmp_path / "same" / "README.md").write_text("Nothing that is loaded.")
    again, templated = (hashes(*TEXT, f"model.source={tmp_path / folder}") for folder in ("same", "other"))
    assert one == same == again
    assert not set(one) & (set(other) | set(templated))


def test_what_a_language_model_is_loaded_from_counts():
    sources = pytest.importorskip("influence.models.sources")
    assert {f"*{ending}" for ending in MODEL_FILES} == set(sources.FILES)


def test_a_setting_counts_as_the_number_that_it_is():
    assert hashes("estimator.lr=1e-2") == hashes("estimator.lr=0.01")
    assert hashes("estimator.lr=1") == hashes("estimator.lr=1.0")


def test_own_code_and_its_options_count():
    own = ("data=own", "data._target_=thirdparty.samples", "model=own", "model._target_=thirdparty.Net")
    changes = ["+data.options.count=3", "+model.options.hidden=3", "data._target_=thirdparty.other"]
    runs = {hashes(*own), *(hashes(*own, change) for change in changes)}
    assert len(runs) == 4
    assert hashes(*own, "trust=[thirdparty]") == hashes(*own)


def test_given_weights_count_by_their_content(tmp_path):
    one, same, other = (tmp_path / name for name in ("one.safetensors", "same.safetensors", "other.safetensors"))
    for path, weight in ((one, 1.0), (same, 1.0), (other, 2.0)):
        save_file({"weight": np.array([weight])}, path)
    of_one, of_same, of_other, trained = (
        hashes("data=digits", *weights)
        for weights in ([f"model.weights={one}"], [f"model.weights={same}"], [f"model.weights={other}"], [])
    )
    assert of_one == of_same
    assert not set(of_one) & set(of_other)
    assert not set(of_one) & set(trained)


def test_a_new_version_of_the_results_changes_every_hash(plain, monkeypatch):
    monkeypatch.setattr(identity, "RESULTS_VERSION", identity.RESULTS_VERSION + 1)
    run, base = hashes("data=digits")
    assert run != plain[0]
    assert base != plain[1]


def test_an_edited_file_of_ones_own_is_another_run(tmp_path, monkeypatch):
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('looking must not run the code')\n")
    (package / "data.py").write_text("def samples(): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    overrides = ["data=own", "data._target_=elsewhere.data.samples", "model=own", "model._target_=elsewhere.none.Net"]
    before = run_hash(composed(*overrides))
    assert run_hash(composed(*overrides)) == before
    (package / "data.py").write_text("def samples(): return 1\n")
    assert run_hash(composed(*overrides)) != before


def test_how_to_train_is_no_matter_where_weights_are_given():
    longer, given = "trainer.epochs=9", "model.weights=net.safetensors"
    assert run_hash(composed(given)) == run_hash(composed(given, longer))
    assert run_hash(composed()) != run_hash(composed(longer))
