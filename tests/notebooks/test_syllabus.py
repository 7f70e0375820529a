"""The syllabus lists the notebooks that there are, and no others."""

from __future__ import annotations

from tests.notebooks.stored import FOLDER, NOTEBOOKS, links, read
from tests.notebooks.syllabus import README, lessons


def test_it_lists_exactly_the_notebooks() -> None:
    assert [lesson.file for lesson in lessons()] == [path.name for path in NOTEBOOKS]


def test_every_row_of_the_table_is_a_lesson() -> None:
    """A row that is written in another form would be overlooked."""
    rows = [line for line in README.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert len(rows) - 2 == len(lessons())


def test_numbers_and_titles_are_the_notebooks_own() -> None:
    for lesson in lessons():
        heading = read(FOLDER / lesson.file).cells[0].source.splitlines()[0]
        assert lesson.file.startswith(f"{lesson.number}_")
        assert heading == f"# {lesson.title}"


def test_no_lesson_takes_a_minute() -> None:
    assert {lesson.file for lesson in lessons() if not 0 < lesson.seconds < 60} == set()


def test_its_links_lead_somewhere() -> None:
    targets = links(README.read_text(encoding="utf-8"))
    assert [target for target in targets if not (FOLDER / target).exists()] == []
