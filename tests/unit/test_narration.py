import subprocess

import pytest

from pipeline_local.narration import folded

QUOTED = "printf '%s|' 'a folder with   spaces' \"$(echo one two)\" -- --all-agencies --pack-max-items 20"


@pytest.mark.parametrize("width", [10, 30, 60, 200])
def test_a_folded_command_is_to_a_shell_what_it_was(width: int) -> None:
    lines = folded(QUOTED, width)
    assert lines[0].startswith("$ ")
    told = subprocess.run(["sh", "-c", "\n".join(lines)[2:]], capture_output=True, text=True, check=True).stdout
    assert "a folder with   spaces|one two|--|--all-agencies|--pack-max-items|20|" == told


def test_no_line_is_longer_than_the_width_where_words_allow_it() -> None:
    assert all(len(line) <= 34 for line in folded("one two three four five six seven eight nine ten", 32))
