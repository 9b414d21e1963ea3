# Patterns of request rules: prepared once per generation, matched without recursion and without the glob functions of rego, which compile every
# pattern again in every evaluation.
package openshell

# --- free patterns, for values that have no structure: `*` any characters, `?` one character, `[a-z]` one of a set, `[!a-z]` one outside it

text_glob(pattern) := {"plain": true, "pieces": pieces(pattern)} if not has_cells(pattern)

text_glob(pattern) := {"plain": false, "pieces": [cells(piece) | some piece in pieces(pattern)]} if has_cells(pattern)

text_globs(patterns) := [text_glob(pattern) | some pattern in patterns]

# Text before, between and after the stars.
pieces(pattern) := [piece |
	parts := split(pattern, "*")
	some i, piece in parts
	keeps_piece(i, piece, count(parts))
]

keeps_piece(0, _, _) := true

keeps_piece(i, piece, n) if {
	i > 0
	i < n - 1
	piece != ""
}

keeps_piece(i, _, n) if {
	i > 0
	i == n - 1
}

has_cells(pattern) if contains(pattern, "?")

has_cells(pattern) if contains(pattern, "[")

# One entry per character that a piece stands for.
cells(piece) := [cell |
	some i, part in split(piece, "[")
	some cell in part_cells(i, part)
]

part_cells(0, part) := plain_cells(part)

part_cells(i, part) := array.concat([set_cell(substring(part, 0, at))], plain_cells(substring(part, at + 1, -1))) if {
	i > 0
	at := indexof(part, "]")
	at >= 0
}

plain_cells(text) := [plain_cell(char) | some char in split(text, "")]

plain_cell(char) := {"outside": true, "ranges": []} if char == "?"

plain_cell(char) := {"outside": false, "ranges": [[char, char]]} if char != "?"

set_cell(content) := {"outside": startswith(content, "!"), "ranges": array.concat(spans, singles)} if {
	parts := [split(part, "") | some part in split(trim_prefix(content, "!"), "-")]
	spans := [[chars[count(chars) - 1], parts[i + 1][0]] |
		some i, chars in parts
		i < count(parts) - 1
	]
	singles := [[char, char] |
		some i, chars in parts
		some j, char in chars
		not ends_span(i, j, count(parts), count(chars))
	]
}

ends_span(i, 0, _, _) if i > 0

ends_span(i, j, parts, chars) if {
	i < parts - 1
	j == chars - 1
}

text_matches_any(globs, text) if {
	some glob in globs
	text_matches(glob, text)
}

text_matches(glob, text) if {
	glob.plain
	pieces_match(glob.pieces, text)
}

text_matches(glob, text) if {
	not glob.plain
	cells_match(glob.pieces, split(text, ""))
}

# Every piece between the first and the last is taken where it occurs first: what is left for the others is then longest.
pieces_match(list, text) if {
	count(list) == 1
	list[0] == text
}

pieces_match(list, text) if {
	n := count(list)
	n > 1
	startswith(text, list[0])
	endswith(text, list[n - 1])
	between := (count(text) - count(list[0])) - count(list[n - 1])
	between >= 0
	in_order(array.slice(list, 1, n - 1), substring(text, count(list[0]), between))
}

in_order(list, _) if count(list) == 0

in_order(list, text) if {
	count(list) == 1
	contains(text, list[0])
}

in_order(list, text) if {
	count(list) == 2
	contains(after(text, list[0]), list[1])
}

in_order(list, text) if {
	count(list) == 3
	contains(after(after(text, list[0]), list[1]), list[2])
}

in_order(list, text) if {
	count(list) == 4
	contains(after(after(after(text, list[0]), list[1]), list[2]), list[3])
}

after(text, piece) := substring(text, at + count(piece), -1) if {
	at := indexof(text, piece)
	at >= 0
}

cells_match(list, chars) if {
	count(list) == 1
	count(list[0]) == count(chars)
	cells_at(list[0], chars, 0)
}

cells_match(list, chars) if {
	n := count(list)
	n > 1
	end := count(chars) - count(list[n - 1])
	end >= count(list[0])
	cells_at(list[0], chars, 0)
	cells_at(list[n - 1], chars, end)
	cells_in_order(array.slice(list, 1, n - 1), array.slice(chars, count(list[0]), end))
}

cells_in_order(list, _) if count(list) == 0

cells_in_order(list, chars) if {
	count(list) == 1
	cells_end(list[0], chars, 0)
}

cells_in_order(list, chars) if {
	count(list) == 2
	cells_end(list[1], chars, cells_end(list[0], chars, 0))
}

cells_in_order(list, chars) if {
	count(list) == 3
	cells_end(list[2], chars, cells_end(list[1], chars, cells_end(list[0], chars, 0)))
}

cells_in_order(list, chars) if {
	count(list) == 4
	cells_end(list[3], chars, cells_end(list[2], chars, cells_end(list[1], chars, cells_end(list[0], chars, 0))))
}

# Where the first occurrence at or after `from` ends.
cells_end(list, chars, from) := min(ends) if {
	last := count(chars) - count(list)
	ends := [end |
		some i, char in chars
		i >= from
		i <= last
		cell_matches(list[0], char)
		cells_at(list, chars, i)
		end := i + count(list)
	]
}

cells_at(list, chars, at) if {
	count([i | some i, cell in list; not cell_matches(cell, chars[at + i])]) == 0
}

cell_matches(cell, char) if {
	cell.outside
	not in_ranges(cell.ranges, char)
}

cell_matches(cell, char) if {
	not cell.outside
	in_ranges(cell.ranges, char)
}

in_ranges(ranges, char) if {
	some range in ranges
	range[0] <= char
	char <= range[1]
}

# --- path patterns: `*` any characters of one segment, `**` alone in a segment for one or more segments

path_glob(pattern) := {"any": true} if pattern in {"", "**"}

path_glob(pattern) := {"any": false, "prefix": literals[0], "suffix": literals[count(literals) - 1], "blocks": path_blocks(split(pattern, "/"))} if {
	not pattern in {"", "**"}
	literals := split(pattern, "*")
}

# The segments around every `**`.
path_blocks(segments) := [block |
	stars := [i | some i, "**" in segments]
	ends := array.concat(stars, [count(segments)])
	some k, end in ends
	block := [pieces(segment) | some segment in array.slice(segments, block_start(stars, k), end)]
]

block_start(_, 0) := 0

block_start(stars, k) := stars[k - 1] + 1 if k > 0

# The literal text at both ends rules most paths out before any is looked at by segments.
path_glob_matches(glob, _, _) if glob.any

path_glob_matches(glob, path, segments) if {
	not glob.any
	startswith(path, glob.prefix)
	endswith(path, glob.suffix)
	blocks_match(glob.blocks, segments)
}

blocks_match(blocks, segments) if {
	count(blocks) == 1
	count(blocks[0]) == count(segments)
	block_at(blocks[0], segments, 0)
}

blocks_match(blocks, segments) if {
	n := count(blocks)
	n > 1
	end := count(segments) - count(blocks[n - 1])
	end > count(blocks[0])
	block_at(blocks[0], segments, 0)
	block_at(blocks[n - 1], segments, end)
	blocks_between(array.slice(blocks, 1, n - 1), array.slice(segments, count(blocks[0]), end))
}

# Between the ends lie `**`, block, `**`, block, …, `**`: every `**` takes at least one segment.
blocks_between(blocks, segments) if {
	count(blocks) == 0
	count(segments) > 0
}

blocks_between(blocks, segments) if {
	count(blocks) == 1
	block_end(blocks[0], segments, 1) < count(segments)
}

blocks_between(blocks, segments) if {
	count(blocks) == 2
	block_end(blocks[1], segments, block_end(blocks[0], segments, 1) + 1) < count(segments)
}

# Where the first occurrence at or after `from` ends.
block_end(block, _, from) := from if count(block) == 0

block_end(block, segments, from) := min(ends) if {
	count(block) > 0
	from <= count(segments) - count(block)
	ends := [end |
		some i in numbers.range(from, count(segments) - count(block))
		pieces_match(block[0], segments[i])
		block_at(block, segments, i)
		end := i + count(block)
	]
}

block_at(block, segments, at) if {
	count([i | some i, list in block; not pieces_match(list, segments[at + i])]) == 0
}

# --- what these matchers do not decide

# Four pieces between the ends are matched; more stars than that have no use that was ever seen.
most_stars := 5

undecidable_text(pattern) if {
	some meta in ["{", "}", "\\"]
	contains(pattern, meta)
}

undecidable_text(pattern) if count(pieces(pattern)) - 1 > most_stars

undecidable_text(pattern) if {
	some i, part in split(pattern, "[")
	undecidable_part(i, part)
}

undecidable_part(0, part) if contains(part, "]")

undecidable_part(i, part) if {
	i > 0
	not decidable_set(part)
}

undecidable_part(i, part) if {
	i > 0
	contains(substring(part, indexof(part, "]") + 1, -1), "]")
}

decidable_set(part) if {
	at := indexof(part, "]")
	at > 0
	content := trim_prefix(substring(part, 0, at), "!")
	content != ""
	not contains(content, "*")
	not contains(content, "?")
	not contains(content, "!")
	not contains(content, "^")
	parts := split(content, "-")
	count([i | some i, text in parts; count(text) < least_length(i, count(parts))]) == 0
	count([range | some range in set_cell(content).ranges; range[0] > range[1]]) == 0
}

# A character cannot end one range and begin the next.
least_length(i, n) := 2 if {
	i > 0
	i < n - 1
}

least_length(i, n) := 1 if not inner_part(i, n)

inner_part(i, n) if {
	i > 0
	i < n - 1
}

# `**` at most three times, alone in its segment.
undecidable_request_path(pattern) if {
	some meta in ["?", "[", "]", "{", "}", "\\"]
	contains(pattern, meta)
}

undecidable_request_path(pattern) if {
	some segment in split(pattern, "/")
	segment != "**"
	contains(segment, "**")
}

undecidable_request_path(pattern) if {
	some segment in split(pattern, "/")
	count(pieces(segment)) - 1 > most_stars
}

undecidable_request_path(pattern) if count([segment | some segment in split(pattern, "/"); segment == "**"]) > 3
