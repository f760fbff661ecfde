"""Sections as HTML, for pages and notebooks; whatever comes from data is escaped."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from html import escape as escape_html

from bayes_crlm.words.cells import cell, heading
from bayes_crlm.words.section import Column, Note, Rows, Section
from bayes_crlm.words.wording import SYNTHETIC

TEXT_CLASSES = {"text": "text", "level": "text", "reason": "text reason"}
# quotes are marks in attributes only, and no text of data stands in one
escape = partial(escape_html, quote=False)
SYNTHETIC_MARK = f' <strong class="red">{SYNTHETIC.capitalize()}.</strong>'


class SectionsByKey(dict[str, Section]):
    """Sections by their keys; a notebook shows them beneath each other."""

    def _repr_html_(self) -> str:
        return sections_to_html(tuple(self.values()))


def sections_to_html(
    sections: Sequence[Section],
    pictures: Mapping[str, str] | None = None,
    *,
    is_synthetic: bool = False,
) -> str:
    """Write sections beneath each other.

    Parameters
    ----------
    sections : sequence of Section
        Tables with the same headings that follow each other become one.
    pictures : mapping of str to str, optional
        SVG elements by figure name; figures that are not there are left out.
    is_synthetic : bool
        Say at every figure that the data are.

    Returns
    -------
    str
        HTML.
    """
    written, waiting = [], []
    for block in blocks(sections, pictures or {}, SYNTHETIC_MARK if is_synthetic else ""):
        is_next = not waiting or (isinstance(block, Rows) and same_headings(block, waiting[-1]))
        if waiting and not is_next:
            written.append(table_to_html(waiting))
            waiting = []
        if isinstance(block, Rows):
            waiting.append(block)
        else:
            written.append(block)
    return "\n".join([*written, table_to_html(waiting)] if waiting else written)


def same_headings(one: Rows, other: Rows) -> bool:
    """Whether two tables can be one."""
    return [heading(each) for each in one.columns] == [heading(each) for each in other.columns]


def blocks(
    sections: Sequence[Section], pictures: Mapping[str, str], mark: str
) -> Iterator[str | Rows]:
    """Give what stands on a page in its order: HTML, and tables that are still to be written."""
    for section in sections:
        if section.title:
            yield f'<h3 id="about-{escape(section.key)}">{escape(section.title)}</h3>'
        notes = [each for each in section.notes if each.text or each.items]
        before = [each for each in notes if each.is_first]
        if section.sentence and not before:
            before = [Note(section.sentence)]
        yield from map(note_to_html, before)
        for figure in section.figures:
            if figure.name in pictures:
                yield (
                    f'<figure id="figure-{figure.name}"><div class="scroll" tabindex="0">'
                    f'{pictures[figure.name]}</div>\n<figcaption id="caption-{figure.name}">'
                    f"{escape(figure.caption)}{mark}</figcaption></figure>"
                )
        yield from (rows for rows in section.rows if rows.columns and rows.rows)
        yield from (note_to_html(each) for each in notes if not each.is_first)


def note_to_html(note: Note) -> str:
    """Write a paragraph or a list."""
    name = f' id="{note.name}"' if note.name else ""
    kind = f' class="{note.kind}"' if note.kind else ""
    if note.items:
        return f"<ul{name}{kind}>{''.join(f'<li>{escape(each)}</li>' for each in note.items)}</ul>"
    lead = f"<strong>{escape(note.lead)}</strong>" if note.lead else ""
    return f"<p{kind}{name}>{lead}{escape(note.text)}</p>"


def table_to_html(tables: Sequence[Rows]) -> str:
    """Write rows of the same headings as one table.

    Parameters
    ----------
    tables : sequence of Rows
        At least one; a group begins with each but the first.
    """
    first = tables[0]
    name = f' id="table-{first.name.replace("_", "-")}"' if first.name else ""
    head = "".join(
        f"<th{' class="text"' if text_class(column, place) else ''}>{escape(heading(column))}</th>"
        for place, column in enumerate(first.columns)
    )
    lines = []
    for number, rows in enumerate(tables):
        for place, row in enumerate(rows.rows):
            is_group = (number and not place) or (place and rows.group and row[rows.group])
            cells = "".join(
                f"<td{text_class(column, at)}>{cell_to_html(row, column)}</td>"
                for at, column in enumerate(rows.columns)
            )
            lines.append(f"<tr{' class="group"' if is_group else ''}>{cells}</tr>")
    body = "\n".join(lines)
    return (
        f'<div class="scroll" tabindex="0"><table{name}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def text_class(column: Column, place: int) -> str:
    """Set texts to the left, but for the first column, which is there in any case."""
    return f' class="{TEXT_CLASSES[column.kind]}"' if place and column.kind in TEXT_CLASSES else ""


def cell_to_html(row: Mapping[str, object], column: Column) -> str:
    """Write a cell; bold where it stands out, with what is said beneath it."""
    text = escape(cell(row, column))
    if column.strong and row[column.strong]:
        text = f"<strong>{text}</strong>"
    small = row[column.small] if column.small else None
    return f'{text}<br><span class="muted">{escape(str(small))}</span>' if small else text
