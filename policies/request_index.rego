# Prepares the request rules of every endpoint, as data.index.requests[rule][position]: presets become rules, patterns become tables.
package openshell

# Plain connections carry requests that nobody decides.
plain_protocols := {"", "tcp"}

inspected_protocols := {"rest", "websocket", "graphql", "sql", "json-rpc", "mcp"}

requests[name][key] := {"plain": true} if {
	some name, rule in data.policies
	some position, endpoint in rule.endpoints
	key := format_int(position, 10)
	endpoint.protocol in plain_protocols
}

requests[name][key] := prepared if {
	some name, rule in data.policies
	some position, endpoint in rule.endpoints
	key := format_int(position, 10)
	endpoint.protocol in inspected_protocols
	from := endpoint.requests
	allow := [prepared_rule(endpoint.protocol, r) |
		some r in array.concat(preset_rules(endpoint.protocol, from.access), from.rules)
		r != nothing
	]
	deny := [prepared_rule(endpoint.protocol, r) | some r in from.deny_rules]
	prepared := {
		"plain": false,
		"protocol": endpoint.protocol,
		"enforce": from.enforce,
		"selector": selector(from.path),
		"specificity": count(replace(from.path, "*", "")),
		"encoded_slash": from.encoded_slash,
		"opaque_messages": from.opaque_messages,
		"allow": allow,
		"deny": deny,
		"reads_messages": count([r | some r in array.concat(allow, deny); r.about == "graphql"]) > 0,
		"allows_operations": count([r | some r in allow; r.about == "graphql"]) > 0,
		"registered": from.registered,
		"strict_tools": from.strict_tools,
		"known_methods": from.known_methods,
	}
}

# --- presets. The last one of `rest` lets a WebSocket through whose messages nobody reads, so it belongs to those that may write.

presets := {
	"rest": {
		"read-only": ["GET", "HEAD", "OPTIONS"],
		"read-write": ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "WEBSOCKET_TEXT"],
		"full": ["*"],
	},
	"websocket": {"read-only": ["GET"], "read-write": ["GET", "WEBSOCKET_TEXT"], "full": ["*"]},
	"graphql": {"read-only": ["query"], "read-write": ["query", "mutation"], "full": ["*"]},
	"sql": {
		"read-only": ["SELECT", "SHOW", "EXPLAIN", "VALUES", "TABLE", "BEGIN", "START", "COMMIT", "ROLLBACK", "END", "SET", "DISCARD", "DEALLOCATE"],
		"read-write": [
			"SELECT", "SHOW", "EXPLAIN", "VALUES", "TABLE", "BEGIN", "START", "COMMIT", "ROLLBACK", "END", "SET", "DISCARD", "DEALLOCATE",
			"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "WITH", "SAVEPOINT", "RELEASE", "PREPARE", "EXECUTE", "LOCK", "CALL",
		],
		"full": ["*"],
	},
}

preset_rules(protocol, access) := [object.union(nothing, {preset_field[protocol]: word}) |
	some word in object.get(presets, [protocol, access], [])
]

preset_field := {"rest": "method", "websocket": "method", "graphql": "operation_type", "sql": "command"}

# An allow rule that says nothing allows nothing, so that a slip opens nothing.
nothing := {"method": "", "path": "", "query": {}, "command": "", "operation_type": "", "operation_name": "", "fields": [], "params": {}}

# --- rules

# What a rule speaks of: the head of a request or a text message as such, operations, calls, or statements.
about("rest", _) := "http"

about("websocket", rule) := "http" if not names_operations(rule)

about("websocket", rule) := "graphql" if names_operations(rule)

about("graphql", _) := "graphql"

about("sql", _) := "sql"

about("json-rpc", _) := "json-rpc"

about("mcp", _) := "mcp"

names_operations(rule) if rule.operation_type != ""

names_operations(rule) if rule.operation_name != ""

names_operations(rule) if count(rule.fields) > 0

prepared_rule(protocol, rule) := object.union({"about": about(protocol, rule)}, rule_tables(about(protocol, rule), rule))

rule_tables("http", rule) := {"methods": method_table(rule.method), "path": path_glob(rule.path), "query": matchers(rule.query)}

rule_tables("graphql", rule) := {
	"type": rule.operation_type,
	"names": [text_glob(name) | some name in [rule.operation_name]; name != ""],
	"fields": text_globs(rule.fields),
}

rule_tables("sql", rule) := {"command": text_glob(upper(or_any(rule.command)))}

rule_tables("json-rpc", rule) := {"method": exact_glob(rule.method), "any_case": exact_glob(lower(rule.method)), "tools": []}

rule_tables("mcp", rule) := {
	"method": text_glob(or_any(mcp_method(rule))),
	"any_case": text_glob(lower(or_any(mcp_method(rule)))),
	"tools": matchers(rule.params),
}

exact_glob(text) := {"plain": true, "pieces": [text]} if text != "*"

exact_glob("*") := text_glob("*")

# A rule for a tool that names no method speaks of calls of this tool.
mcp_method(rule) := "tools/call" if {
	rule.method == ""
	count(rule.params) > 0
} else := rule.method

or_any("") := "*"

or_any(text) := text if text != ""

# Who may GET may HEAD; what is refused for GET is refused for HEAD.
method_table(method) := {"*": true} if method in {"", "*"}

method_table(method) := {"GET": true, "HEAD": true} if upper(method) == "GET"

method_table(method) := {upper(method): true} if not upper(method) in {"", "*", "GET"}

matchers(map) := [{"name": name, "globs": text_globs(patterns)} | some name, patterns in map]

# --- path selectors

selector(path) := {"kind": "all"} if path in {"", "**"}

selector(path) := {"kind": "below", "base": substring(path, 0, count(path) - 3)} if below(path)

selector(path) := {"kind": "glob", "glob": text_glob(path)} if {
	not path in {"", "**"}
	not below(path)
}

# `/x/**` is /x and everything below it.
below(path) if {
	endswith(path, "/**")
	not contains(substring(path, 0, count(path) - 3), "*")
	not has_cells(path)
}

# --- what cannot be decided

unsupported contains {"rule": name, "pattern": $"protocol {endpoint.protocol}"} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	not endpoint.protocol in plain_protocols
	not endpoint.protocol in inspected_protocols
}

unsupported contains {"rule": name, "pattern": endpoint.requests.path} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	undecidable_text(endpoint.requests.path)
}

unsupported contains {"rule": name, "pattern": pattern} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	some list in [endpoint.requests.rules, endpoint.requests.deny_rules]
	some r in list
	some pattern in text_patterns(r)
	undecidable_text(pattern)
}

unsupported contains {"rule": name, "pattern": r.path} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	some list in [endpoint.requests.rules, endpoint.requests.deny_rules]
	some r in list
	undecidable_request_path(r.path)
}

unsupported contains {"rule": name, "pattern": r.method} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	endpoint.protocol == "mcp"
	some list in [endpoint.requests.rules, endpoint.requests.deny_rules]
	some r in list
	undecidable_text(r.method)
}

# The methods of HTTP are names.
unsupported contains {"rule": name, "pattern": r.method} if {
	some name, rule in data.policies
	some endpoint in rule.endpoints
	endpoint.protocol in {"rest", "websocket"}
	some list in [endpoint.requests.rules, endpoint.requests.deny_rules]
	some r in list
	r.method != "*"
	contains(r.method, "*")
}

text_patterns(rule) := array.concat(
	[rule.command, rule.operation_name],
	[pattern |
		some list in array.concat([rule.fields], [patterns | some map in [rule.query, rule.params]; some patterns in map])
		some pattern in list
	],
)
