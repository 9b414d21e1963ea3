# Decides one connection by look-ups in data.index. Every path that is not an explicit allow ends in a refusal with a code.
package openshell

default decision := {"allow": false, "code": "malformed"}

decision := {"allow": false, "code": "malformed"} if {
	not valid
} else := {"allow": false, "code": "engine_failure"} if {
	not indexed
} else := {"allow": false, "code": "binary_not_allowed", "own": true} if {
	input.exe in input.own
} else := {"allow": true, "policy": min({ref[0] | some ref in matched}), "endpoints": sort(matched)} if {
	count(matched) > 0
} else := {"allow": false, "code": "binary_not_allowed", "rules": sort(rules_at_port)} if {
	count(here) > 0
} else := {"allow": false, "code": "port_not_allowed", "ports": sort(ports_of_host)} if {
	count(hosts) > 0
} else := {"allow": false, "code": "no_policies"} if {
	count(data.policies) == 0
} else := {"allow": false, "code": "host_not_allowed"}

# The shape of the input comes first: a field that is missing or of another type must never make a later check undefined and so be skipped.
# Unknown fields are refused, so that a caller cannot believe in a check that does not exist here.
valid if {
	is_object(input)
	object.keys(input) == {"host", "port", "exe", "ancestors", "own"}
	valid_host
	is_number(input.port)
	input.port >= 1
	input.port <= 65535
	floor(input.port) == input.port
	valid_path(input.exe)
	is_array(input.ancestors)
	count([path | some path in input.ancestors; not valid_path(path)]) == 0
	is_array(input.own)
	count([path | some path in input.own; not is_string(path)]) == 0
}

valid_host if {
	is_string(input.host)
	input.host != ""
	lower(input.host) == input.host
	count([label | some label in labels; label == ""]) == 0
}

valid_path(path) if {
	is_string(path)
	startswith(path, "/")
	not contains(path, "//")
	not endswith(path, "/")
}

indexed if {
	is_object(data.policies)
	is_object(data.index.nodes)
	is_object(data.index.hosts)
	count(data.index.unsupported) == 0
}

labels := split(input.host, ".")

port := format_int(input.port, 10)

# Places of the index that this host leads to.
hosts contains ["exact", input.host] if data.index.nodes.exact[input.host]

hosts contains ["one", parent] if {
	count(labels) > 1
	parent := concat(".", array.slice(labels, 1, count(labels)))
	data.index.nodes.one[parent]
}

hosts contains ["deep", parent] if {
	data.index.nodes.deep
	some i, _ in labels
	i > 0
	parent := concat(".", array.slice(labels, i, count(labels)))
	data.index.nodes.deep[parent]
}

hosts contains ["labels", pattern] if {
	some pattern, parts in data.index.hosts
	host_matches(parts)
}

hosts contains ["any", ""] if data.index.nodes.any[""]

# ... and that speak of this port.
here contains place if {
	some place in hosts
	data.index.nodes[place[0]][place[1]][port]
}

host_matches(parts) if {
	parts[0] == ["", "", ""]
	rest := array.slice(parts, 1, count(parts))
	count(labels) > count(rest)
	segments_match(rest, array.slice(labels, count(labels) - count(rest), count(labels)))
}

host_matches(parts) if {
	parts[0] != ["", "", ""]
	segments_match(parts, labels)
}

# Programs that a rule about a family may name: the executable and its ancestors, never our own executable.
family contains path if {
	some path in array.concat([input.exe], input.ancestors)
	not path in input.own
}

matched contains ref if {
	some place in here
	some path in family
	some ref in data.index.nodes[place[0]][place[1]][port].family[path]
}

matched contains ref if {
	some place in here
	some ref in data.index.nodes[place[0]][place[1]][port].self[input.exe]
}

matched contains glob.ref if {
	some place in here
	some glob in data.index.nodes[place[0]][place[1]][port].globs
	not glob.self_only
	some path in family
	glob_matches(glob, path)
}

matched contains glob.ref if {
	some place in here
	some glob in data.index.nodes[place[0]][place[1]][port].globs
	glob.self_only
	glob_matches(glob, input.exe)
}

# The literal text at both ends rules most paths out before any is looked at by segments.
glob_matches(glob, path) if {
	startswith(path, glob.prefix)
	endswith(path, glob.suffix)
	path_matches(glob.parts, segments_of[path])
}

segments_of[path] := split(path, "/") if some path in family

path_matches(parts, segments) if {
	not parts.deep
	segments_match(parts.head, segments)
}

# `**` stands for one or more segments.
path_matches(parts, segments) if {
	parts.deep
	count(segments) > count(parts.head) + count(parts.tail)
	segments_match(parts.head, array.slice(segments, 0, count(parts.head)))
	segments_match(parts.tail, array.slice(segments, count(segments) - count(parts.tail), count(segments)))
}

segments_match(patterns, segments) if {
	count(patterns) == count(segments)
	count([i | some i, pattern in patterns; not segment_matches(pattern, segments[i])]) == 0
}

segment_matches(pattern, segment) if {
	count(pattern) == 1
	pattern[0] == segment
}

segment_matches(pattern, segment) if {
	count(pattern) == 2
	startswith(segment, pattern[0])
	endswith(segment, pattern[1])
	count(segment) >= count(pattern[0]) + count(pattern[1])
}

rules_at_port contains name if {
	some place in here
	some name, _ in data.index.nodes[place[0]][place[1]][port].rules
}

ports_of_host contains to_number(number) if {
	some place in hosts
	some number, _ in data.index.nodes[place[0]][place[1]]
}
