"""The demo's sample is what the demo says it is, and the demo notices what is not so."""

from __future__ import annotations

import io

import pytest

from etl_core.testing.fake_clock import FakeClock
from pipeline_local import proof, sample
from pipeline_local.narration import Narrator
from pipeline_processing.processors.get_s3_files.destination import attachment_key, relative_name


def test_exactly_one_row_has_a_date_that_is_none_and_it_is_the_named_agencys() -> None:
    rows = list(sample.rows())
    assert sample.ROWS == len(rows)
    assert [(sample.POISON_ROW, sample.POISON_AGENCY)] == [row[:2] for row in rows if row[12] == sample.POISON_DATE]
    mended = list(sample.rows(mended=True))
    assert [sample.POISON_ROW] == [row[0] for row, other in zip(rows, mended, strict=True) if row != other]


def test_exactly_one_file_never_arrived_and_no_two_share_a_key() -> None:
    files = sample.files()
    assert [sample.MISSING_KEY] == [file.key for file in files if file.body is None]
    assert len(files) == len({file.key for file in files}) == len({file.destination for file in files})


def test_the_longest_copy_has_a_key_of_as_many_bytes_as_s3_allows() -> None:
    assert 1024 == max(len(file.destination.encode()) for file in sample.files())


def test_the_sample_says_by_itself_where_the_product_puts_each_file() -> None:
    for file in sample.files():
        name = relative_name(file.key, f"{file.agency_id}/")
        assert file.destination == attachment_key("", file.agency_id, name)


def test_a_claim_that_is_not_so_says_what_was_expected_and_found() -> None:
    with pytest.raises(proof.Untrue, match="dead items: expected 1, found 0"):
        proof.check("dead items", 1, 0)


def test_a_step_that_fails_is_told_as_not_done_and_its_error_passes() -> None:
    out = io.StringIO()

    def tell() -> None:
        with Narrator(FakeClock(), out).step("The run", "pipeline-processing controller run") as step:
            step.found = "never said"
            proof.check("published", expected=True, found=False)

    with pytest.raises(proof.Untrue):
        tell()
    said = out.getvalue().splitlines()
    assert ["✗  1 The run: not done (0.0 s)", "     $ pipeline-processing controller run"] == said
