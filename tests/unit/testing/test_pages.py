"""Pages are read as they are written: blocks, their marks, and what a shown output must have."""

from sbc.testing.pages import blocks, missing_lines

PAGE = """\
# A page

<!-- file: a.yaml -->
```yaml
a: 1
```

<!-- type: q; terminal: desk -->

Text, and a list:

- an item

  ```sh
  sbc calls \\
    --json   # all of them
  # nothing
  ```
"""


def test_blocks_have_their_marks_and_lines():
    file, typed, command = blocks(PAGE)
    assert (file.language, file.text, file.marks, file.line) == ("yaml", "a: 1\n", {"file": "a.yaml"}, 5)
    assert (typed.language, typed.text, typed.marks) == ("", "", {"type": "q", "terminal": "desk"})
    assert (command.language, command.marks, command.commands) == ("sh", {}, ["sbc calls --json"])


def test_a_reason_may_have_a_semicolon():
    (mark,) = blocks("<!-- not run: it needs this; and that -->\n")
    assert mark.marks == {"not run": "it needs this; and that"}


def test_a_mark_in_a_block_is_text():
    assert [block.marks for block in blocks("```html\n<!-- file: x -->\n```\n")] == [{}]


def test_shown_output_may_differ_in_what_changes_from_run_to_run():
    output = "REF  MOS\nk3v7q2mxya22  4.4/-  0.7  7s\ncarrier   1/4\n"
    assert missing_lines("k4v7q2mxya23  -/4.1  -  1m 10s\n…\ncarrier 2/4", output) == []
    assert missing_lines("carrier-b 1/4", output) == ["carrier-b 1/4"]
    assert missing_lines("|----- BYE ---->|", "|----- BYE --->|") == ["|----- BYE ---->|"]
