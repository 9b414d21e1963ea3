# Turns data.policies into look-up tables, once per policy generation. The result goes back to the engine as data.index; no other program
# reads it. Patterns that the matcher cannot decide exactly are listed in `unsupported`, and a generation that has any is refused.
package openshell

index := {"nodes": nodes, "hosts": host_patterns, "requests": requests, "unsupported": unsupported}

# One record per rule, endpoint and port: where it is looked up (kind and key) and which endpoint it stands for.
places contains place if {
	some name, rule in data.policies
	some position, endpoint in rule.endpoints
	some port in endpoint.ports
	place := {
		"kind": host_kind(endpoint.host),
		"key": host_key(endpoint.host),
		"port": format_int(port, 10),
		"rule": name,
		"ref": [name, position],
		"id": concat("/", [name, format_int(position, 10)]),
	}
}

# exact host; one label in front (`*.x`); one or more labels in front (`**.x`); stars elsewhere; no host at all (address ranges only).
host_kind("") := "any"

host_kind(host) := "exact" if {
	host != ""
	not contains(host, "*")
}

host_kind(host) := "one" if {
	startswith(host, "*.")
	not contains(substring(host, 2, -1), "*")
}

host_kind(host) := "deep" if {
	startswith(host, "**.")
	not contains(substring(host, 3, -1), "*")
}

host_kind(host) := "labels" if {
	contains(host, "*")
	not leading_wildcard(host)
}

leading_wildcard(host) if contains_only_leading(host, "*.")

leading_wildcard(host) if contains_only_leading(host, "**.")

contains_only_leading(host, prefix) if {
	startswith(host, prefix)
	not contains(substring(host, count(prefix), -1), "*")
}

host_key(host) := substring(host, 2, -1) if host_kind(host) == "one"

host_key(host) := substring(host, 3, -1) if host_kind(host) == "deep"

host_key(host) := host if host_kind(host) in {"exact", "labels", "any"}

# Which rules speak of this host and port, whatever their binaries.
nodes[place.kind][place.key][place.port].rules[place.rule] if some place in places

# Paths that match the executable or an ancestor.
nodes[place.kind][place.key][place.port].family[binary.path][place.id] := place.ref if {
	some place in places
	some binary in data.policies[place.rule].binaries
	not contains(binary.path, "*")
	not binary.self_only
}

# Paths that match the executable alone.
nodes[place.kind][place.key][place.port].self[binary.path][place.id] := place.ref if {
	some place in places
	some binary in data.policies[place.rule].binaries
	not contains(binary.path, "*")
	binary.self_only
}

# Path globs, by endpoint and position of the binary.
nodes[place.kind][place.key][place.port].globs[id] := glob if {
	some place in places
	some position, binary in data.policies[place.rule].binaries
	contains(binary.path, "*")
	id := concat("/", [place.id, format_int(position, 10)])
	literals := split(binary.path, "*")
	glob := {
		"ref": place.ref,
		"self_only": binary.self_only,
		"prefix": literals[0],
		"suffix": literals[count(literals) - 1],
		"parts": path_parts(binary.path),
	}
}

# A path glob around its `**`, if it has one: the segments before and after.
path_parts(path) := {"deep": false, "head": head, "tail": []} if {
	segments := split(path, "/")
	not "**" in segments
	head := [segment_parts(segment) | some segment in segments]
}

path_parts(path) := {"deep": true, "head": head, "tail": tail} if {
	segments := split(path, "/")
	at := min([i | some i, "**" in segments])
	head := [segment_parts(segment) | some i, segment in segments; i < at]
	tail := [segment_parts(segment) | some i, segment in segments; i > at]
}

# A literal segment is one string; a segment with a star is the string before and the string after it.
segment_parts(segment) := split(segment, "*")

host_patterns[host] := [segment_parts(label) | some label in split(host, ".")] if {
	some rule in data.policies
	some endpoint in rule.endpoints
	host := endpoint.host
	host_kind(host) == "labels"
}

# What this matcher does not decide. The validation of policies refuses the same patterns earlier and with better words.
unsupported contains {"rule": name, "pattern": endpoint.host} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	undecidable_host(endpoint.host)
}

unsupported contains {"rule": name, "pattern": binary.path} if {
	some name, rule in data.policies
	some binary in rule.binaries
	contains(binary.path, "*")
	undecidable_path(binary.path)
}

undecidable_host(host) if {
	some meta in ["?", "[", "]", "{", "}", "\\"]
	contains(host, meta)
}

undecidable_host(host) if {
	host_kind(host) == "labels"
	some i, label in split(host, ".")
	not leading_double(i, label)
	count(split(label, "*")) > 2
}

undecidable_host(host) if host in {"*", "**"}

leading_double(0, "**")

undecidable_path(path) if {
	some meta in ["?", "[", "]", "{", "}", "\\"]
	contains(path, meta)
}

undecidable_path(path) if {
	some segment in split(path, "/")
	segment != "**"
	count(split(segment, "*")) > 2
}

undecidable_path(path) if count([segment | some segment in split(path, "/"); segment == "**"]) > 1
