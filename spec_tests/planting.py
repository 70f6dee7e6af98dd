"""Bugs planted in the product itself: each replaces one function, and names the test that has to fail.

The clauses' own bugs (`chapters/*/bugs.py`) break an implementation through its adapter; these break the rooms that no
adapter reaches: the plan, the reader, the fingerprint, the boundary of a layer, the store, the options, the text.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import importlib
import json
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any

import numpy as np
import pytest

PRODUCT = "spec_tests/product"
WORDS = f"{PRODUCT}/test_words.py::test_the_words_that_are_kept"


@dataclass(frozen=True)
class Plant:
    """One bug: `broken` makes the replacement of `target` (`module:name` or `module:class.name`) from what is there."""

    name: str
    target: str
    broken: Callable[[Any], Any]
    killer: str


def _column_major(real: Any) -> Any:
    def position_in(position: int, leading: Any) -> tuple[int, ...]:
        found = []
        for size in leading:
            found.append(position % size)
            position //= size
        return tuple(found)

    return position_in


def _not_counting(real: Any) -> Any:
    def compute(self: Any, handle: Any) -> Any:
        module = sys.modules["setol_ww.formats.torch_distributed"]
        before, module.MOST_COMPARED = module.MOST_COMPARED, 10**9
        try:
            return real(self, handle)
        finally:
            module.MOST_COMPARED = before

    return compute


def _keeping_the_first(real: Any) -> Any:
    def shuffle(matrix: Any, seed: tuple[int, ...], **options: Any) -> Any:
        rest = real(matrix.reshape(-1)[1:, None], seed, **options).reshape(-1)
        return np.append(matrix.reshape(-1)[:1], rest).reshape(matrix.shape)

    return shuffle


def _counting_all(real: Any) -> Any:
    def of(cls: Any, *given: Any) -> Any:
        law = real(cls, *given)
        return replace(law, counted=np.ones_like(law.counted))

    return classmethod(of)


def _failing_together(real: Any) -> Any:
    def results_of(asked: Any, settings: Any, what: str) -> Any:
        from setol_ww.core.boundary import Attempt

        alone = [real([one], settings, what)[0] for one in asked]
        failed = next((one.reason for one in alone if one.value is None), "")
        return [Attempt(None, failed) for _ in alone] if failed else alone

    return results_of


def _swallowing(real: Any) -> Any:
    def attempt(title: str, what: str, stage: Any) -> Any:
        try:
            return real(title, what, stage)
        except KeyboardInterrupt as error:
            from setol_ww.core.boundary import Attempt

            return Attempt(None, f"layer {title}: {error!r}")

    return attempt


def _narrow(real: Any) -> Any:
    def attempt(title: str, what: str, stage: Any) -> Any:
        from setol_ww.core.boundary import Attempt

        try:
            return Attempt(stage())
        except (ValueError, MemoryError) as error:
            return Attempt(None, f"layer {title}: {what}, {error}")

    return attempt


def _locked(real: Any) -> Any:
    def call(routine: Any, *arguments: Any) -> None:
        kept = ctypes.PYFUNCTYPE(None)(ctypes.cast(routine, ctypes.c_void_p).value)
        real(kept, *arguments)

    return call


def _with_one_draw(real: Any) -> Any:
    def drawn(self: Any) -> Any:
        return ((rows, np.sort(numbers)) for rows, numbers in real(self))

    return drawn


def _free_of(device: str) -> float:
    from setol_ww.linalg.device import free_memory

    return free_memory(device)


def _with_seed(shuffled: Any, seed: int) -> Any:
    other = copy.copy(shuffled)
    other.seed = seed
    return other


def _without_freedom(real: Any) -> Any:
    def told_apart(first: Any, second: Any) -> Any:
        return real(*(replace(mean, count=10**6) for mean in (first, second)))

    return told_apart


def _by_columns_alone(real: Any) -> Any:
    from setol_ww.theory.laws.separable import _Unknown

    def solve(self: Any, x: Any, near: Any = None) -> Any:
        return _Unknown(self.columns, self.rows, self.q).found(x, near)[0]

    return solve


def _without_the_product(real: Any) -> Any:
    def counts(self: Any, x: Any, a: Any) -> Any:
        beyond, density = real(self, x, a)
        return beyond + density * x, density

    return counts


def _one_a_group(real: Any) -> Any:
    def rule(self: Any, width: float) -> Any:
        points, weights = real(self, width)
        total = weights.sum(keepdims=True)
        return points @ weights / total, total

    return rule


def _ideal_of_any_width(real: Any) -> Any:
    from setol_ww.layer.verdict import State

    def by_criteria(tail: Any, ecs: Any, ends: Any, erg_holds: bool) -> Any:
        state, said = real(tail, ecs, ends, erg_holds)
        return (State.IDEAL, said) if "too wide" in said else (state, said)

    return by_criteria


def _without_copy(real: Any) -> Any:
    def matrices(self: Any) -> Any:
        from setol_ww.core.arrays import to_numpy

        return [to_numpy(matrix) for matrix in self.job.part.matrices(self.tensor.load())]

    return matrices


def _drawing(real: Any) -> Any:
    def analysed(copy: Any, options: Any) -> Any:
        np.random.random()
        return real(copy, options)

    return analysed


def _forgetful(real: Any) -> Any:
    def begin(self: Any, *asked: Any) -> None:
        real(self, *asked)
        self._done = set()

    return begin


def _one_sided(real: Any) -> Any:
    return lambda first, second: float((first.exp() * (first - second)).sum(1).mean())


def _of_all_vectors(real: Any) -> Any:
    def shares(values: Any, right: Any, sums: Any, N: int) -> Any:
        return real(values, right, sums, N) * right.sum() ** 2 / right.sum(axis=0) ** 2

    return shares


def _left_to_the_bench(real: Any) -> Any:
    from setol_ww.truncation import models

    def evaluated(bench: Any, evaluate: Any, model: Any, tasks: Any, progress: Any) -> Any:
        return models._evaluated(bench, evaluate, model, list(tasks), [], progress)

    return evaluated


def _by_tensor_alone(real: Any) -> Any:
    def rows_of(matchings: Any, options: Any, *, update: bool) -> Any:
        first: dict[int, Any] = {}
        for matches in matchings:
            for match in matches:
                part = first.setdefault(id(match.tensors[0]), match.jobs[0].part)
                object.__setattr__(match.jobs[0], "part", part)
        return real(matchings, options, update=update)

    return rows_of


PLANTS: tuple[Plant, ...] = (
    Plant(
        "two matrices on a device that has memory for one",
        "setol_ww.linalg.device:_room",
        lambda real: lambda device, needed: nullcontext((needed <= _free_of(device), _free_of(device))),
        f"{PRODUCT}/test_device.py::test_what_does_not_fit_beside_others_waits_for_them",
    ),
    Plant(
        "a shuffle of a device whose sources are those of another seed",
        "setol_ww.linalg.shuffled:ShuffledThere.sources",
        lambda real: lambda self, positions: real(_with_seed(self, 1), positions),
        f"{PRODUCT}/test_device.py::test_a_shuffle_there_answers_as_one_here",
    ),
    Plant(
        "entries in the buckets of their rows",
        "setol_ww.linalg.buckets:Buckets._drawn",
        _with_one_draw,
        f"{PRODUCT}/test_buckets.py::test_every_order_is_equally_likely",
    ),
    Plant(
        "a copy of every shuffled matrix",
        "setol_ww.linalg.shuffles:in_random_order",
        lambda real: lambda matrix, seed, **options: real(matrix, seed).whole(),
        f"{PRODUCT}/test_buckets.py::test_a_long_matrix_is_searched_without_a_copy",
    ),
    Plant(
        "a routine that keeps Python's lock",
        "setol_ww.linalg.routines:call",
        _locked,
        f"{PRODUCT}/test_without_lock.py::test_another_thread_goes_on[eigenvalues]",
    ),
    Plant(
        "the traps of a kernel begun before it is scaled",
        "setol_ww.watcher.subclass:WeightWatcher._begin",
        lambda real: lambda self, record, params: real(self, record, {**params, "conv2d_norm": False}),
        f"{PRODUCT}/test_jobs.py::test_traps_of_the_next_layer_are_begun_with_its_spectrum[True]",
    ),
    Plant(
        "a matrix that does not fit is sent to the device",
        "setol_ww.linalg.device:memory_needed",
        lambda real: lambda rows, columns: 0,
        f"{PRODUCT}/test_engine.py::test_what_does_not_fit_a_device_is_left_to_the_cpu",
    ),
    Plant(
        "the tensor is read ahead as a whole where a slice is asked for",
        "setol_ww.formats.reader:FileReader.foresee",
        lambda real: lambda reader, name, index=(): real(reader, name),
        f"{PRODUCT}/test_scan.py::test_the_next_large_tensor_is_read_ahead",
    ),
    Plant(
        "the density of a decade drawn as one of x",
        "setol_ww.views.plots.esd:_factor",
        lambda real: lambda x, scale: real(x, "log-log"),
        f"{PRODUCT}/test_plots.py::test_the_histogram_is_normalised_as_it_says",
    ),
    Plant(
        "a law drawn over all eigenvalues and not over the tail's share",
        "setol_ww.views.plots.lines:tail_density",
        lambda real: lambda result, x: real(result, x) * result.spectrum.num_evals / result.tail.rank,
        f"{PRODUCT}/test_plots.py::test_the_spectrum_is_drawn_as_the_result_has_it",
    ),
    Plant(
        "traps drawn on the raw scale",
        "setol_ww.views.plots.lines:unit_mean_of",
        lambda real: lambda result, raw: raw,
        f"{PRODUCT}/test_plots.py::test_the_spectrum_is_drawn_as_the_result_has_it",
    ),
    Plant(
        "eigenvalues of the shuffled entries drawn without the power of two of the layer's",
        "setol_ww.views.plots.lines:unit_means_of",
        lambda real: lambda result, raw: raw * (result.spectrum.num_evals / result.spectrum.values.sum()),
        f"{PRODUCT}/test_drawn_limits.py::test_the_size_of_the_weights_is_not_in_the_picture",
    ),
    Plant(
        "names of layers that matplotlib reads as formulas",
        "setol_ww.views.plots.style:words",
        lambda real: lambda text: real(text).replace("\\$", "$"),
        f"{PRODUCT}/test_plots.py::test_histograms_hold_the_share_of_the_layers",
    ),
    Plant(
        "the second start among the neighbours of the first",
        "setol_ww.spectrum.ks_curve:best_of_neighbourhoods",
        lambda real: lambda ranks, distances, rank, tolerance: sorted(range(len(ranks)), key=lambda at: distances[at]),
        f"{PRODUCT}/test_plots.py::test_a_second_start_is_drawn_where_one_fits_as_well",
    ),
    Plant(
        "distances of starts to the upper steps",
        "setol_ww.spectrum.ks_curve:ks_lower",
        lambda real: lambda tail, rate: real(tail, rate) + 1 / tail.size,
        f"{PRODUCT}/test_plots.py::test_distances_are_those_of_each_start",
    ),
    Plant(
        "every shuffle by the same generator",
        "setol_ww.linalg.shuffled:in_random_order",
        lambda real: lambda matrix, seed, **options: real(matrix, (0,), **options),
        f"{PRODUCT}/test_engine.py::test_another_seed_is_another_shuffle",
    ),
    Plant(
        "the first entry of a shuffle stays where it was",
        "setol_ww.linalg.shuffles:shuffle",
        _keeping_the_first,
        f"{PRODUCT}/test_engine.py::test_every_order_of_a_shuffle_is_equally_likely",
    ),
    Plant(
        "the smallest eigenvalue of a reduction left out",
        "setol_ww.linalg.leading:Leading.all",
        lambda real: lambda self: real(self)[1:],
        f"{PRODUCT}/test_engine.py::test_leading_and_all_eigenvalues_of_one_reduction",
    ),
    Plant(
        "a budget of zeros that forgets the sizes of the layers",
        "setol_ww.advice.budgets:shares",
        lambda real: lambda ratios, sizes, share, most=1.0: real(ratios, np.ones(len(sizes)), share, most),
        f"{PRODUCT}/test_recommend.py::test_sparsity_is_that_of_the_authors",
    ),
    Plant(
        "shares above one cut and their rest lost",
        "setol_ww.advice.budgets:shares",
        lambda real: lambda ratios, sizes, share, most=1.0: np.minimum(real(ratios, sizes, share, np.inf), most),
        f"{PRODUCT}/test_recommend.py::test_a_share_above_one_is_cut_and_the_budget_kept",
    ),
    Plant(
        "first and last layer judged by their alphas",
        "setol_ww.advice.by_alpha:_kept_at_base",
        lambda real: lambda candidates, keep_base, min_evals: real(candidates, (), min_evals),
        f"{PRODUCT}/test_recommend.py::test_rates_and_decay_are_those_of_the_authors",
    ),
    Plant(
        "a rank pattern that any layer of this ending takes",
        "setol_ww.advice.patterns:peft_key",
        lambda real: lambda longname: longname.rsplit(".", 1)[-1],
        f"{PRODUCT}/test_recommend.py::test_peft_builds_the_ranks_that_are_advised",
    ),
    Plant(
        "names left open for Axolotl where another begins with them",
        "setol_ww.advice.patterns:axolotl_pattern",
        lambda real: lambda longname, tensors: longname,
        f"{PRODUCT}/test_recommend.py::test_axolotl_trains_what_is_meant_and_nothing_else",
    ),
    Plant(
        "batch norms at the base rate",
        "setol_ww.advice.groups:_following",
        lambda real: lambda model, values: {},
        f"{PRODUCT}/test_recommend.py::test_weight_and_bias_share_a_rate_and_a_norm_follows_its_convolution",
    ),
    Plant(
        "layers that a plan does not name cut like its first",
        "setol_ww.truncation.plans:Plan.of",
        lambda real: lambda self, title: self.rules.get(title, next(iter(self.rules.values()))),
        f"{PRODUCT}/test_recommend.py::test_a_plan_cuts_models_checkpoints_and_on_the_command_line",
    ),
    Plant(
        "nested experts counted along the first axis",
        "setol_ww.weights.layouts.parts:position_in",
        _column_major,
        f"{PRODUCT}/test_plan.py::test_nested_experts_are_labelled_as_they_lie",
    ),
    Plant(
        "layer ids of a mapping from 0",
        "setol_ww.weights.plan:layer_ids",
        lambda real: lambda tensors, start=None: [number - 1 for number in real(tensors, start)],
        f"{PRODUCT}/test_plan.py::test_ids_are_weightwatchers",
    ),
    Plant(
        "layers= that leaves nothing out",
        "setol_ww.weights.selector:Selector.chosen",
        lambda real: lambda self, listed: [True] * len(listed),
        f"{PRODUCT}/test_plan.py::test_one_dialect_of_layers",
    ),
    Plant(
        "layouts= that is not asked",
        "setol_ww.weights.plan:read_as_asked",
        lambda real: lambda situation, words: importlib.import_module("setol_ww.weights.layouts").read_as(situation),
        f"{PRODUCT}/test_plan.py::test_what_the_user_says_of_a_tensor",
    ),
    Plant(
        "no word of the nearest names",
        "setol_ww.weights.selector:_nearest",
        lambda real: lambda word, listed: [],
        f"{PRODUCT}/test_plan.py::test_the_nearest_names_are_told",
    ),
    Plant(
        "checksums of members not compared",
        "setol_ww.formats.blocks:_refuse_crc",
        lambda real: lambda *_: None,
        f"{PRODUCT}/test_formats.py::test_members_are_read_right_and_checked",
    ),
    Plant(
        "shapes that the bytes cannot hold accepted",
        "setol_ww.formats.stored:refuse_more_slices_than_bytes",
        lambda real: lambda *_: None,
        f"{PRODUCT}/test_formats.py",
    ),
    Plant(
        "a file known by its size and time",
        "setol_ww.formats.reader:FileReader.refuse_changed",
        lambda real: lambda self, handle: None,
        f"{PRODUCT}/test_formats.py::test_a_file_that_changed_is_noticed",
    ),
    Plant(
        "a fingerprint of the header alone",
        "setol_ww.formats.fingerprint:_places",
        lambda real: lambda size, tensors: [],
        f"{PRODUCT}/test_formats.py::test_one_tensor_of_many_that_changed_is_noticed",
    ),
    Plant(
        "an index before the single file beside it",
        "setol_ww.formats.folder:MODELS",
        lambda real: (),
        f"{PRODUCT}/test_folder.py::test_a_single_file_comes_before_an_index_that_an_older_save_left",
    ),
    Plant(
        "a defect of ours ends the analysis",
        "setol_ww.scanning.row:attempt",
        _narrow,
        f"{PRODUCT}/test_bad_input.py::test_a_defect_of_ours_costs_its_row_and_is_logged",
    ),
    Plant(
        "an interrupt swallowed by a layer",
        "setol_ww.scanning.row:attempt",
        _swallowing,
        f"{PRODUCT}/test_bad_input.py::test_an_interrupt_is_no_failure_of_a_layer",
    ),
    Plant(
        "squares of large entries taken as they are",
        "setol_ww.linalg.scaled:is_moderate",
        lambda real: lambda *_: True,
        f"{PRODUCT}/test_one_matrix.py::test_extreme_scales_against_exact_exponents",
    ),
    Plant(
        "checksums of kept rows not compared",
        "setol_ww.results.store:_digest",
        lambda real: lambda values: bytes(16),
        f"{PRODUCT}/test_store.py::test_flips_anywhere",
    ),
    Plant(
        "computed columns kept whatever the settings",
        "setol_ww.results.findings:key_of",
        lambda real: lambda settings: "one",
        f"{PRODUCT}/test_results.py::test_other_settings_are_those_of_a_run_with_them",
    ),
    Plant(
        "points that only fill up a size are counted",
        "setol_ww.theory.resolvents:_Law.of",
        _counting_all,
        f"{PRODUCT}/test_small_layers.py::test_sums_of_many_laws_are_those_of_each",
    ),
    Plant(
        "one failure among small layers costs all of them",
        "setol_ww.results.findings:results_of",
        _failing_together,
        f"{PRODUCT}/test_small_layers.py::test_what_fails_among_many_costs_its_own_row",
    ),
    Plant(
        "the best of all starts, whichever are asked",
        "setol_ww.spectrum.starts:Scan.best",
        lambda real: lambda self, starts: self.best_of_all,
        f"{PRODUCT}/test_small_layers.py::test_a_shared_scan_answers_as_a_new_one",
    ),
    Plant(
        "draws without a tail counted as those of a large alpha",
        "setol_ww.spectrum.uncertainty:_share",
        lambda real: lambda draws, held: float(np.mean(held)),
        f"{PRODUCT}/test_exact_spectra.py::test_a_draw_without_a_tail_says_nothing_of_alpha",
    ),
    Plant(
        "loud lines of pooled slices taken for those of one",
        "setol_ww.spectrum.loud:LoudLines.explain",
        lambda real: lambda self, found, slices: real(self, found, 1),
        f"{PRODUCT}/test_kept.py::test_results_are_those_of_before[layer: kernel with a loud row]",
    ),
    Plant(
        "the share of spikes beside loud lines, of the loud ones",
        "setol_ww.layer.classes:_share",
        lambda real: lambda spectrum, bulk: real(spectrum, replace(bulk, loud=0)),
        f"{PRODUCT}/test_kept.py::test_results_are_those_of_before[layer: spike beside a loud row]",
    ),
    Plant(
        "records of a group kept one by one",
        "setol_ww.results.store:Store.add_all",
        lambda real: lambda self, records: [real(self, [record]) for record in records],
        f"{PRODUCT}/test_small_layers.py::test_the_records_of_a_group_are_kept_all_or_none",
    ),
    Plant(
        "words of an earlier rule kept",
        "setol_ww.results.findings:_limits",
        lambda real: lambda: (),
        f"{PRODUCT}/test_results.py::test_words_of_another_rule_are_told_again",
    ),
    Plant(
        "results of any seed are the same results",
        "setol_ww.core.options:Options.key",
        lambda real: lambda self: {name: value for name, value in real(self).items() if name != "seed"},
        f"{PRODUCT}/test_options.py::test_the_key_has_what_changes_numbers_and_nothing_else",
    ),
    Plant(
        "cells that a spreadsheet runs",
        "setol_ww.results.export:csv_cell",
        lambda real: lambda text: text,
        f"{PRODUCT}/test_export.py::test_no_cell_of_a_csv_runs_and_all_are_read_back",
    ),
    Plant(
        "escapes sent to the terminal",
        "setol_ww.core.printable:_shown",
        lambda real: lambda character: character,
        f"{PRODUCT}/test_text.py::test_characters_that_act_are_shown",
    ),
    Plant(
        "names that end the script they are in",
        "setol_ww.views.report.page:embedded",
        lambda real: lambda data: real(data).replace("\\u003c", "<"),
        f"{PRODUCT}/test_report.py::test_data_in_a_script_stay_data",
    ),
    Plant(
        "a page that may load what it likes",
        "setol_ww.views.report.page:policy",
        lambda real: lambda scripts: real(scripts).replace("default-src 'none'", "default-src *"),
        f"{PRODUCT}/test_report.py::test_the_policy_allows_the_scripts_of_the_page_and_nothing_else",
    ),
    Plant(
        "the sums of the log-determinant from the wrong end",
        "setol_ww.views.report.curves:partial_log_det",
        lambda real: lambda spectrum: real(spectrum)[::-1],
        f"{PRODUCT}/test_report.py::test_curves_hold_what_is_drawn",
    ),
    Plant(
        "one layer to look at instead of three",
        "setol_ww.views.report.payload:SHOWN_FIRST",
        lambda real: 1,
        f"{PRODUCT}/test_report.py::test_where_nothing_calls_for_a_look_those_at_the_ends_of_the_usual_range_are_shown",
    ),
    Plant(
        "a layer that WeightWatcher alone cannot fit told as failed",
        "setol_ww.results.summary:has_failed",
        lambda real: lambda row: row.get("status") == "failed",
        f"{PRODUCT}/test_report.py::test_layers_to_look_at_are_those_that_lack_something",
    ),
    Plant(
        "pictures of a single eigenvalue",
        "setol_ww.views.report.curves:DISTINCT",
        lambda real: 0.0,
        f"{PRODUCT}/test_report.py::test_only_two_distinct_eigenvalues_are_drawn",
    ),
    Plant(
        "flags cut in the middle of a word",
        "setol_ww.results.printed:first_parts",
        lambda real: lambda text, width: text[: max(width, 8)],
        f"{PRODUCT}/test_text.py::test_a_table_of_results_cuts_no_word_of_ours",
    ),
    Plant(
        "a legend over a small picture",
        "setol_ww.views.plots.style:_covers",
        lambda real: lambda made, ax: False,
        f"{PRODUCT}/test_plots.py::test_a_legend_leaves_a_small_picture_to_be_seen",
    ),
    Plant(
        "another colour of the ERG start in the report",
        "setol_ww.views.report.page:css_variables",
        lambda real: lambda: real().replace("--erg: light-dark(#0072b2", "--erg: light-dark(#00785a"),
        f"{PRODUCT}/test_plots.py::test_pictures_and_the_report_have_one_palette",
    ),
    Plant(
        "the folders of the maker in the page",
        "setol_ww.views.report.payload:said_name",
        lambda real: lambda told: told,
        f"{PRODUCT}/test_report.py::test_no_folder_of_the_maker_is_told",
    ),
    Plant(
        "no layer stands apart",
        "setol_ww.results.summary:apartness",
        lambda real: lambda row: 0.0,
        f"{PRODUCT}/test_report.py::test_a_layer_without_a_concern_whose_alpha_is_apart_comes_next",
    ),
    Plant(
        "an alpha without a tail told as one",
        "setol_ww.views.report.words:says_no_tail",
        lambda real: lambda reason: False,
        f"{PRODUCT}/test_report.py::test_what_is_said_of_a_layer_to_look_at",
    ),
    Plant(
        "names of a comparison that must be Unicode",
        "setol_ww.advice.comparison:kept_text",
        lambda real: lambda column: column,
        f"{PRODUCT}/test_report.py::test_a_name_that_is_no_unicode_is_compared_and_advised_on",
    ),
    Plant(
        "our rows in weightwatcher's means",
        "setol_ww.watcher.records:Record.identity",
        lambda real: lambda self, position: {**real(self, position), "row_origin": "weightwatcher"},
        f"{PRODUCT}/test_plan.py::test_the_summary_has_weightwatchers_values_under_its_keys",
    ),
    Plant(
        "a prefix believed for one name",
        "setol_ww.advice.pairing:SHARE",
        lambda real: 0.0,
        f"{PRODUCT}/test_compare.py::test_names_that_could_be_two_are_none",
    ),
    Plant(
        "the error of a difference from the ends that point away",
        "setol_ww.advice.difference:sides_of",
        lambda real: lambda name, frame: None if real(name, frame) is None else real(name, frame)[::-1],
        f"{PRODUCT}/test_compare.py::test_columns_are_those_of_both_scans_and_the_error_is_half_of_both_intervals",
    ),
    Plant(
        "an interval of a known start where the start was chosen",
        "setol_ww.monitor.history:alpha_ends",
        lambda real: lambda alpha, sigma, *ends: real(alpha, sigma / 1.25, *ends),
        f"{PRODUCT}/test_verdict.py::test_one_rule_gives_every_interval_of_alpha",
    ),
    Plant(
        "the innermost number taken for a block",
        "setol_ww.advice.sparsity:block_of",
        lambda real: lambda name: name.rpartition(".")[0],
        f"{PRODUCT}/test_recommend.py::test_names_of_other_families_have_their_blocks_embeddings_and_heads",
    ),
    Plant(
        "a module's name believed over its class",
        "setol_ww.advice.candidates:Candidate.is_embedding",
        lambda real: property(lambda self: self.kind == "embedding" or self.longname in ("emb", "shared")),
        f"{PRODUCT}/test_recommend.py::test_a_linear_module_called_as_embeddings_are_is_advised",
    ),
    Plant(
        "results cut otherwise called missing",
        "setol_ww.advice.kept:CUT_OTHERWISE",
        lambda real: "the {} model has no layer of that name",
        f"{PRODUCT}/test_compare.py::test_results_cut_otherwise_are_told_from_layers_that_are_not_there",
    ),
    Plant(
        "rounding taken for an update",
        "setol_ww.advice.update:_rounding",
        lambda real: lambda base, tuned: None,
        f"{PRODUCT}/test_compare.py::test_rounding_to_a_narrow_type_is_told_from_an_update",
    ),
    Plant(
        "another head compared row by row",
        "setol_ww.advice.matching:_table_rows",
        lambda real: lambda source: {tensor.shape[0] for tensor in source.tensors},
        f"{PRODUCT}/test_compare.py::test_a_vocabulary_that_was_resized_is_compared_as_far_as_both_go",
    ),
    Plant(
        "a weight that is tied on one side compared once",
        "setol_ww.advice.matching:tied_by_config",
        lambda real: lambda source: [],
        f"{PRODUCT}/test_compare.py::test_a_head_that_the_config_ties_is_there",
    ),
    Plant(
        "shuffles drawn from the process",
        "setol_ww.linalg.shuffled:in_random_order",
        lambda real: lambda matrix, seed, **options: real(matrix, (int(np.random.random() * 1e9),), **options),
        f"{PRODUCT}/test_threads.py::test_eight_analyses_of_one_model_give_eight_times_one_table",
    ),
    Plant(
        "edges looked for and not found where another law's are",
        "setol_ww.theory.laws.uneven_noise:upper_edge",
        lambda real: lambda rows, columns, q, near=None: near or real(rows, columns, q),
        f"{PRODUCT}/test_uneven_noise.py::test_a_neighbouring_law_is_found_from_this_one",
    ),
    Plant(
        "the density at a point that is none is 0",
        "setol_ww.theory.laws.base:where_known",
        lambda real: lambda points, values: values[()],
        f"{PRODUCT}/test_laws_asked.py::test_what_is_no_number_is_refused_by_its_name[square-pdf]",
    ),
    Plant(
        "sums of R by a root for each of thousands of points",
        "setol_ww.theory.resolvents:_interpolated",
        lambda real: lambda laws, *rest: np.full(len(laws), np.nan),
        f"{PRODUCT}/test_sums_of_r.py::test_a_sum_is_that_of_the_roots_without_finding_them[many-wide]",
    ),
    Plant(
        "the size of a matrix is that of its first block",
        "setol_ww.linalg.eigenvalues:row_blocks",
        lambda real: lambda matrix, exponent=0: [next(real(matrix, exponent)).copy()],
        f"{PRODUCT}/test_matrices_asked.py::test_the_size_of_a_matrix_is_that_of_its_largest_entry_in_any_block",
    ),
    Plant(
        "threads that share a stream of a device",
        "setol_ww.linalg.device:_stream",
        lambda real: lambda device, found={}: found.setdefault(device, nullcontext()),
        f"{PRODUCT}/test_device_asked.py::test_each_thread_has_one_stream_on_a_device_behind_the_callers",
    ),
    Plant(
        "the law of noise is solved for by one side alone",
        "setol_ww.theory.laws.separable:Separable.solve",
        _by_columns_alone,
        f"{PRODUCT}/test_classes.py::test_strong_columns_of_a_square_layer_are_noise_as_strong_rows_are",
    ),
    Plant(
        "loud rows are spikes",
        "setol_ww.spectrum.bulk:loud_lines",
        lambda real: lambda strengths: iter(()),
        f"{PRODUCT}/test_classes.py::test_noise_with_loud_lines_is_noise",
    ),
    Plant(
        "any eigenvalue is that of a loud row",
        "setol_ww.spectrum.loud:LoudLines.explain",
        lambda real: lambda self, found, slices: True,
        f"{PRODUCT}/test_classes.py::test_a_direction_much_stronger_than_what_a_row_explains_is_no_loud_row",
    ),
    Plant(
        "very heavy by the point",
        "setol_ww.layer.classes:alpha_ends",
        lambda real: lambda alpha, *rest: (alpha, alpha),
        f"{PRODUCT}/test_classes.py::test_very_heavy_is_a_tail_whose_whole_interval_is_below_two",
    ),
    Plant(
        "states of tails that the class denies",
        "setol_ww.layer.verdict:_no_heavy_tail",
        lambda real: lambda kind: real(kind) if kind is not None and kind.spikes < 8 else "",
        f"{PRODUCT}/test_verdict.py::test_no_state_by_the_alpha_of_a_tail_that_the_class_denies",
    ),
    Plant(
        "no mean behind a large element",
        "setol_ww.traps.search:shift_pvalue",
        lambda real: lambda entries, N, M: 1.0,
        f"{PRODUCT}/test_traps.py::test_a_shift_behind_a_large_element_of_a_known_edge_is_found",
    ),
    Plant(
        "eigenvalues counted without the term of both sides",
        "setol_ww.theory.laws.separable:Separable.counts",
        _without_the_product,
        f"{PRODUCT}/test_uneven_noise.py::test_eigenvalues_follow_the_law",
    ),
    Plant(
        "one strength a group",
        "setol_ww.theory.laws.sides:Side.rule",
        _one_a_group,
        f"{PRODUCT}/test_uneven_noise.py::test_few_strengths_have_the_moments_of_all",
    ),
    Plant(
        "noise of any size is under-trained",
        "setol_ww.layer.verdict:_without_a_tail",
        lambda real: lambda kind: real(replace(kind, flags=())),
        f"{PRODUCT}/test_classes.py::test_noise_of_a_narrow_layer_is_not_called_under_trained",
    ),
    Plant(
        "a heavy tail across a gap",
        "setol_ww.layer.classes:reaches_the_edge",
        lambda real: lambda spectrum, bulk: True,
        f"{PRODUCT}/test_classes.py::test_a_spectrum_narrower_than_noise_has_no_heavy_tail",
    ),
    Plant(
        "under-trained by alpha alone",
        "setol_ww.layer.verdict:LEARNED",
        lambda real: 2.0,
        f"{PRODUCT}/test_verdict.py::test_a_steep_tail_with_most_of_the_trace_is_not_under_trained",
    ),
    Plant(
        "a state of a tail that was not shown",
        "setol_ww.layer.verdict:_no_heavy_tail",
        lambda real: lambda kind: "" if kind and kind.universality_class.value == "undetermined" else real(kind),
        f"{PRODUCT}/test_verdict.py::test_no_state_rests_on_a_tail_that_could_not_be_shown",
    ),
    Plant(
        "power whatever the distance",
        "setol_ww.layer.classes:universality",
        lambda real: lambda spectrum, tail, bulk: replace(real(spectrum, tail, bulk), noise_distance=0.0),
        f"{PRODUCT}/test_classes.py::test_a_planted_tail_is_seldom_denied_where_there_is_power",
    ),
    Plant(
        "ideal by an interval of any width",
        "setol_ww.layer.verdict:_by_criteria",
        _ideal_of_any_width,
        f"{PRODUCT}/test_verdict.py::test_ideal_needs_an_interval_that_says_something",
    ),
    Plant(
        "means told apart by a normal law",
        "setol_ww.results.means:told_apart",
        _without_freedom,
        f"{PRODUCT}/test_means.py::test_welch_as_scipy_has_it",
    ),
    Plant(
        "geometric means compared as they are",
        "setol_ww.results.means:Mean.additive",
        lambda real: property(lambda self: (self.value, self.error)),
        f"{PRODUCT}/test_means.py::test_geometric_means_are_compared_as_logarithms",
    ),
    Plant(
        "a monitor that reads the weights themselves",
        "setol_ww.monitor.copies:Layer._matrices",
        _without_copy,
        f"{PRODUCT}/test_monitor.py::test_training_does_not_wait_for_a_decomposition",
    ),
    Plant(
        "a monitor that draws from the process",
        "setol_ww.monitor.copies:analysed",
        _drawing,
        f"{PRODUCT}/test_monitor.py::test_a_run_has_the_same_bits_with_and_without_it",
    ),
    Plant(
        "a budget of what training waited for alone",
        "setol_ww.monitor.budget:Budget.spend",
        lambda real: lambda self, seconds, *, waited=False: real(self, seconds if waited else 0.0, waited=waited),
        f"{PRODUCT}/test_monitor.py::test_the_budget_counts_all_threads",
    ),
    Plant(
        "a leap of the tail's start called a move",
        "setol_ww.monitor.moves:move",
        lambda real: lambda before, after: "moved" if real(before, after) else "",
        f"{PRODUCT}/test_monitor.py::test_a_leap_of_the_tails_start_is_no_move",
    ),
    Plant(
        "sharded parameters followed",
        "setol_ww.monitor.sharded:refuse_sharded",
        lambda real: lambda model: None,
        f"{PRODUCT}/test_monitor.py::test_marks_of_other_libraries_are_known",
    ),
    Plant(
        "an alarm at every look",
        "setol_ww.monitor.alarms:Alarms.look",
        lambda real: lambda self, row: (self._holding.clear(), real(self, row)),
        f"{PRODUCT}/test_monitor.py::test_alarms_call_when_a_rule_begins_to_hold",
    ),
    Plant(
        "a layer that is gone is left out without a word",
        "setol_ww.monitor.live:layers_now",
        lambda real: lambda *asked: [one for one in real(*asked) if not one.missing],
        f"{PRODUCT}/test_monitor.py::test_a_layer_that_is_gone_has_a_row_with_the_reason_once",
    ),
    Plant(
        "weights without values left out",
        "setol_ww.monitor.copies:_has_no_values",
        lambda real: lambda job, tensor: False,
        f"{PRODUCT}/test_monitor.py::test_weights_without_values_have_a_row_until_they_have_some",
    ),
    Plant(
        "a history of steps that were done again",
        "setol_ww.monitor.on_disk:Keeper.begin",
        lambda real: lambda self, step, *asked: real(self, 10**9, *asked),
        f"{PRODUCT}/test_monitor.py::test_a_run_that_is_killed_leaves_its_history_and_one_that_goes_on_adds_to_it",
    ),
    Plant(
        "rows given up when they could not be written",
        "setol_ww.monitor.on_disk:Keeper._try",
        lambda real: lambda self, write: (real(self, write), True)[1],
        f"{PRODUCT}/test_monitor.py::test_a_history_that_cannot_be_written_ends_no_training",
    ),
    Plant(
        "k of a fused projection taken for q",
        "setol_ww.advice.fused:names_apart",
        lambda real: lambda name, label, used: real(name, {"q": "k", "k": "q"}.get(label, label), used),
        f"{PRODUCT}/test_compare_models.py::test_parts_of_other_sizes_and_parts_that_are_not_known_are_said",
    ),
    Plant(
        "parts matched though the whole tensor has a partner",
        "setol_ww.advice.fused:Pairing",
        lambda real: lambda partners=(), remarks=(): real({}, remarks),
        f"{PRODUCT}/test_compare_models.py::test_a_fused_tensor_of_both_is_compared_as_it_is",
    ),
    Plant(
        "layers of a run known by their tensor alone",
        "setol_ww.advice.layerwise:rows_of",
        _by_tensor_alone,
        f"{PRODUCT}/test_compare.py::test_a_run_of_other_vocabularies_is_compared_as_far_as_each_goes",
    ),
    Plant(
        "leading directions from the wrong end",
        "setol_ww.linalg.leading:Leading.many",
        lambda real: lambda self, number: (real(self, number)[0], real(self, self.side)[1][:, -number:]),
        f"{PRODUCT}/test_compare.py::test_one_reduction_has_the_eigenvalues_of_the_scan_and_the_directions_of_the_svd",
    ),
    Plant(
        "checkpoints opened while they grow",
        "setol_ww.monitor.checkpoints_in:signature_of",
        lambda real: lambda path: ((path.name, 0, 0),),
        f"{PRODUCT}/test_watch.py::test_a_file_that_grows_is_not_opened",
    ),
    Plant(
        "names of every format are taken for those of a pickle",
        "setol_ww.formats.reader:named_tensors",
        lambda real: lambda contents, handle: real(replace(contents, plain=False), handle),
        f"{PRODUCT}/test_every_type.py::test_names_are_names_where_a_format_has_nothing_else[.npz]",
    ),
    Plant(
        "Python 2 may run what a pickle says",
        "setol_ww.formats.pickles:HARMFUL_NAMES",
        lambda real: frozenset(name for name in real if name[0] == "builtins"),
        f"{PRODUCT}/test_every_entry.py::test_what_would_run_code_is_refused_by_its_name[__builtin__.eval]",
    ),
    Plant(
        "a store may change while it is read",
        "setol_ww.results.store:_tables",
        lambda real: lambda connection, path: (connection.commit(), real(connection, path))[1],
        f"{PRODUCT}/test_result_files.py::test_a_store_that_is_read_stays_as_it_was_until_it_is_closed",
    ),
    Plant(
        "a watch that forgets the scan it was killed in",
        "setol_ww.monitor.folder:Kept._forget_parts",
        lambda real: lambda self, gone: real(self, lambda weights: True),
        f"{PRODUCT}/test_watch.py::test_a_scan_that_was_killed_goes_on_and_those_of_other_weights_are_gone",
    ),
    Plant(
        "checkpoints done again after a kill",
        "setol_ww.monitor.folder:Kept.__init__",
        _forgetful,
        f"{PRODUCT}/test_watch.py::test_files_and_folders_each_once_and_in_order",
    ),
    Plant(
        "the divergence of one side",
        "setol_ww.advice.outputs:divergence",
        _one_sided,
        f"{PRODUCT}/test_trap_effect.py::test_the_divergence_is_scipys",
    ),
    Plant(
        "every vector is a shift that any is",
        "setol_ww.traps.search:_mean_shares",
        _of_all_vectors,
        f"{PRODUCT}/test_trap_numbers.py::test_one_shift_of_a_small_matrix_and_the_element_beside_it",
    ),
    Plant(
        "an evaluation that is stopped puts back what it got to",
        "setol_ww.truncation.models:evaluated",
        _left_to_the_bench,
        f"{PRODUCT}/test_truncation.py::test_restored_when_interrupted_at_any_line",
    ),
    Plant(
        "a layer that is not put back",
        "setol_ww.truncation.models:put_all_back",
        lambda real: lambda saved: None,
        f"{PRODUCT}/test_trap_effect.py::test_a_model_that_breaks_is_put_back",
    ),
    Plant(
        "a name in a notebook is HTML",
        "setol_ww.views.notebook:_text",
        lambda real: lambda text: text,
        f"{PRODUCT}/test_shown.py::test_names_are_text",
    ),
    Plant(
        "colour wherever it is not forbidden",
        "setol_ww.core.colour:wants_colour",
        lambda real: lambda stream: not os.environ.get("NO_COLOR"),
        f"{PRODUCT}/test_shown.py::test_when_there_is_colour",
    ),
    Plant(
        "a bar in a pipe as on a terminal",
        "setol_ww.core.progress:_Lines.write",
        lambda real: lambda self, text: self._stream.write(text),
        f"{PRODUCT}/test_terminal.py::test_bars_in_one_another_leave_no_control_characters_in_a_pipe",
    ),
    Plant(
        "an error with the whole usage",
        "setol_ww.cli.main:Parser.error",
        lambda real: argparse.ArgumentParser.error,
        f"{PRODUCT}/test_terminal.py::test_an_error_is_one_line_with_the_way_out",
    ),
    Plant(
        "analyze forgets the seed of its windows",
        "setol_ww.watcher.subclass:fit_submatrices",
        lambda real: lambda W, *, seed, device: real(W, device=device),
        f"{PRODUCT}/test_seeds.py::test_the_seed_alone_decides[analyze windows]",
    ),
    Plant(
        "dust counts as eigenvalues",
        "setol_ww.spectrum.esd:Spectrum.above_rounding",
        lambda real: property(lambda spectrum: spectrum),
        f"{PRODUCT}/test_second_computation.py::test_every_number_is_that_of_the_plain_way[deficient]",
    ),
    Plant(
        "windows are resampled alike whatever the seed",
        "setol_ww.spectrum.windows:_resampled_spread",
        lambda real: lambda spectra, rows, columns, eps, seed: real(spectra, rows, columns, eps, 0),
        f"{PRODUCT}/test_seeds.py::test_the_seed_alone_decides[fit_submatrices]",
    ),
    Plant(
        "every permutation is the same shuffle",
        "setol_ww.traps.search:reference_excess",
        lambda real: lambda matrix, seen, seed: real(matrix, seen, seed[:-1]),
        f"{PRODUCT}/test_seeds.py::test_permutations_of_noise_are_uniform_on_their_grid",
    ),
    Plant(
        "masks and scores beside a weight taken for weights",
        "setol_ww.weights.schemes.pruning:_mask_of",
        lambda real: lambda tensor, stock: "",
        f"{PRODUCT}/test_parts_of_weights.py::test_masks_and_scores_of_masks_are_no_weights_and_are_told_of",
    ),
    Plant(
        "the masks of a module's fused projection overlooked",
        "setol_ww.weights.tensors:_own_tensors",
        lambda real: lambda module: ((name, one) for name, one in real(module) if not name.endswith("_mask")),
        f"{PRODUCT}/test_parts_of_weights.py::test_a_fused_projection_that_a_module_computes_is_read_as_it_acts",
    ),
    Plant(
        "queries in every class that holds an in_proj_weight",
        "setol_ww.weights.layouts.qkv:_may_attend",
        lambda real: lambda situation: True,
        f"{PRODUCT}/test_parts_of_weights.py::test_a_class_that_is_no_attention_has_no_queries",
    ),
    Plant(
        "what a bias says of three axes not heard",
        "setol_ww.weights.layouts.kernel:_by_bias",
        lambda real: lambda situation: None,
        f"{PRODUCT}/test_parts_of_weights.py::test_the_bias_of_a_graph_convolution_tells_its_relations",
    ),
    Plant(
        "a file that is refused without the cause",
        "setol_ww.formats.handle:Handle.unreadable",
        lambda real: lambda self, cause: real(self, "it cannot be read"),
        f"{WORDS}[refused_bytes-zip: encrypted]",
    ),
    Plant(
        "a hole among thousands of parts",
        "setol_ww.formats.torch_distributed:Chunked.compute",
        _not_counting,
        f"{WORDS}[refused_bytes-distributed: parts in the place of others]",
    ),
    Plant(
        "a number of HQQ where there is none",
        "setol_ww.weights.schemes.base:Stock.integers",
        lambda real: lambda self, name: real(self, name) or (4,),
        f"{WORDS}[reasons_of_weights-hqq, a part cut]",
    ),
    Plant(
        "words of HQQ for whatever shape stands beside them",
        "setol_ww.weights.schemes.hqq:_holds",
        lambda real: lambda *_: True,
        f"{WORDS}[reasons_of_weights-hqq, a part cut]",
    ),
    Plant(
        "a place that takes no file is found out after the work",
        "setol_ww.results.export:refuse_unwritable",
        lambda real: lambda *told: None,
        f"{PRODUCT}/test_command_line.py::test_what_cannot_be_done_is_refused_before_any_work",
    ),
    Plant(
        "what a quiet import sets stays set",
        "setol_ww.core.manners:importing_quietly",
        lambda real: nullcontext,
        f"{PRODUCT}/test_package.py::test_what_an_import_sets_is_gone_and_what_is_the_hosts_stays",
    ),
    Plant(
        "of the tensors of one ending the first alone is looked at",
        "setol_ww.weights.schemes.base:Stock.ending",
        lambda real: lambda self, *words: list(real(self, *words))[:1],
        f"{PRODUCT}/test_told.py::test_what_becomes_of_a_model_does_not_depend_on_what_lies_beside_it",
    ),
    Plant(
        "a command without its examples",
        "setol_ww.cli.main:SPEC_EXAMPLE",
        lambda real: "",
        f"{WORDS}[words_of_commands-help: spec]",
    ),
    Plant(
        "a reason of advice that is not given",
        "setol_ww.advice.by_alpha:_kept_at_base",
        lambda real: lambda candidates, *asked: ["" for _ in real(candidates, *asked)],
        f"{WORDS}[words_of_answers-advice: learning-rates]",
    ),
    Plant(
        "sentences that nobody asks for",
        "spec_tests.said:Text.runs",
        lambda real: lambda self: set(),
        f"{PRODUCT}/test_said.py::test_words_that_no_test_says_are_found",
    ),
)


def killed(plant: Plant) -> bool:
    """Whether the test that the bug names fails with the bug in place; without it the suite runs it."""
    owner, name = _place(plant.target)
    real = vars(owner)[name]
    bare = real.__func__ if isinstance(real, (classmethod, staticmethod)) else real
    holders = [(owner, name)] if isinstance(owner, type) else _holders(name, real)
    broken = plant.broken(bare)
    for holder, attribute in holders:
        setattr(holder, attribute, broken)
    try:
        return _run(plant.killer) == pytest.ExitCode.TESTS_FAILED
    finally:
        for holder, attribute in holders:
            setattr(holder, attribute, real)


def _place(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for one in classes:
        owner = getattr(owner, one)
    return owner, name


def _holders(name: str, real: Any) -> list[tuple[Any, str]]:
    """Every module of the product that has the function under its name."""
    modules = [module for key, module in list(sys.modules.items()) if key.split(".")[0] == "setol_ww"]
    return [(module, name) for module in modules if vars(module).get(name) is real]


def _run(test: str) -> int:
    # What a test has computed before without the bug is not to answer for it; long values are not compared in words.
    for name in [name for name in sys.modules if name.startswith("spec_tests.product.test_")]:
        del sys.modules[name]
    options = ("-x", "-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header")
    with redirect_stdout(StringIO()):
        return int(pytest.main([*options, test]))


def main(names: list[str]) -> int:
    """Plant the bugs of these names (all of them without any) and print which were killed, as JSON."""
    # What is first imported under a bug would keep it.
    rooms = (
        "watcher",
        "scanning.run",
        "truncation.checkpoints",
        "cli.main",
        "advice.sparsity",
        "advice.groups",
        "views.notebook",
    )
    for room in rooms:
        importlib.import_module(f"setol_ww.{room}")
    chosen = [plant for plant in PLANTS if not names or plant.name in names]
    sys.stdout.write(json.dumps({plant.name: killed(plant) for plant in chosen}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
