# Decides one request inside an allowed connection, given the endpoints that `decision` matched. Every path that is not an explicit allow ends in a code.
#
# Of the endpoints that inspect, those whose path selector matches cover the request, and the most specific of them govern it: only they allow.
# Deny rules of every covering endpoint count. A plain endpoint that matches the same connection allows nothing here: the inspected ones govern.
package openshell

default request := {"action": "deny", "code": "malformed"}

request := {"action": "deny", "code": "malformed"} if {
	not valid_endpoints
} else := {"action": "deny", "code": "engine_failure"} if {
	not requests_indexed
} else := {"action": "allow", "endpoint": input.endpoints[0]} if {
	count(inspecting) == 0
} else := {"action": "deny", "code": "malformed"} if {
	not valid_request
} else := answer("path_not_covered", inspecting, inspecting) if {
	count(covering) == 0
} else := answer("protocol_ambiguous", governing, governing) if {
	count({endpoint_at[i].protocol | some i in governing}) > 1
} else := answer("request_denied", denying, denying | governing) if {
	count(denying) > 0
} else := answer("encoded_slash", governing, governing) if {
	not slashes_accepted
} else := {"action": "deny", "code": "body_needed", "endpoint": input.endpoints[min(governing)]} if {
	body_needed
} else := {"action": "allow", "endpoint": input.endpoints[min(allowing)]} if {
	count(allowing) > 0
} else := answer("request_not_allowed", governing, governing)

# Names the smallest of the endpoints that are the reason; refused when one of those that decide enforces.
answer(code, reasons, deciding) := {"action": action(deciding), "code": code, "endpoint": input.endpoints[min(reasons)]}

action(deciding) := "audit" if {
	every i in deciding {
		endpoint_at[i].enforce == false
	}
} else := "deny"

# --- which endpoints

endpoint_at[i] := data.index.requests[ref[0]][format_int(ref[1], 10)] if some i, ref in input.endpoints

# An endpoint without a table must not pass for one that inspects nothing.
requests_indexed if {
	count(data.index.unsupported) == 0
	count(endpoint_at) == count(input.endpoints)
	count([i | some i, endpoint in endpoint_at; not is_boolean(endpoint.plain)]) == 0
}

inspecting contains i if {
	some i, endpoint in endpoint_at
	not endpoint.plain
}

covering contains i if {
	some i in inspecting
	readable[input.request.kind][endpoint_at[i].protocol]
	selected(input.request.kind, endpoint_at[i].selector)
}

readable := {
	"http": {"rest": true, "websocket": true, "graphql": true, "json-rpc": true, "mcp": true},
	"websocket_text": {"rest": true, "websocket": true},
	"sql": {"sql": true},
}

# Statements have no path.
selected("sql", _) := true

selected(kind, selector) if {
	kind != "sql"
	selector_matches(selector)
}

selector_matches(selector) if selector.kind == "all"

selector_matches(selector) if {
	selector.kind == "below"
	input.request.path == selector.base
}

selector_matches(selector) if {
	selector.kind == "below"
	startswith(input.request.path, concat("", [selector.base, "/"]))
}

selector_matches(selector) if {
	selector.kind == "glob"
	text_matches(selector.glob, input.request.path)
}

governing contains i if {
	most := max([endpoint_at[i].specificity | some i in covering])
	some i in covering
	endpoint_at[i].specificity == most
}

# --- deny rules

denying contains i if {
	some i in covering
	some rule in endpoint_at[i].deny
	denies(rule, i)
}

denies(rule, i) if {
	rule.about == "http"
	some method in methods_at[i].named
	method_matches(rule, method)
	path_glob_matches(rule.path, input.request.path, segments)
	every matcher in rule.query {
		some value in input.request.query[matcher.name]
		text_matches_any(matcher.globs, value)
	}
}

denies(rule, i) if {
	rule.about == "graphql"
	some operation in input.request.graphql
	denies_operation(rule, i, operation)
}

denies(rule, _) if {
	rule.about in {"json-rpc", "mcp"}
	some call in input.request.rpc
	text_matches(rule.any_case, lower(call.method))
	every matcher in rule.tools {
		tool_denied(matcher, call)
	}
}

denies(rule, _) if {
	rule.about == "sql"
	text_matches(rule.command, upper(input.request.command))
}

denies_operation(rule, i, operation) if {
	known := known_operation(i, operation)
	type_matches(rule.type, known.type)
	every glob in rule.names {
		text_matches(glob, known.name)
	}
	fields_denied(rule.fields, known.fields)
}

# What a stored operation does is unknown here, so it may be what is denied.
denies_operation(_, i, operation) if not known_operation(i, operation)

fields_denied(globs, _) if count(globs) == 0

fields_denied(globs, fields) if {
	some field in fields
	text_matches_any(globs, field)
}

tool_denied(matcher, call) if text_matches_any(matcher.globs, call.name)

# A call that hides which tool it means may be the denied one.
tool_denied(_, call) if not call.name

# --- allow rules

# `named`: what deny rules look at. `required`: what allow rules must all offer. A WebSocket through an endpoint that reads no messages needs
# the right to send them.
methods_at[i] := {"named": {"WEBSOCKET_TEXT"}, "required": {message_right(endpoint_at[i])}} if {
	some i in covering
	input.request.kind == "websocket_text"
}

methods_at[i] := {"named": method, "required": method} if {
	some i in covering
	input.request.kind == "http"
	not carries_messages(i)
	method := {upper(input.request.method)}
}

methods_at[i] := {"named": both, "required": required} if {
	some i in covering
	carries_messages(i)
	method := {upper(input.request.method)}
	both := method | {"WEBSOCKET_TEXT"}
	required := both - {text | some text in ["WEBSOCKET_TEXT"]; endpoint_at[i].opaque_messages}
}

# Where messages pass unread for the sake of their credentials, who may open the connection may send them.
message_right(endpoint) := "GET" if {
	endpoint.protocol == "rest"
	endpoint.opaque_messages
} else := "WEBSOCKET_TEXT"

carries_messages(i) if {
	input.request.kind == "http"
	input.request.upgrade == "websocket"
	endpoint_at[i].protocol == "rest"
}

allowing contains i if {
	some i in governing
	endpoint_at[i].protocol in {"rest", "websocket"}
	not reads_this(i)
	every method in methods_at[i].required {
		some rule in endpoint_at[i].allow
		allows_head(rule, method)
	}
}

# Messages of an endpoint with rules for operations: each operation is decided, and control messages have none.
allowing contains i if {
	some i in governing
	reads_this(i)
	every operation in input.request.graphql {
		operation_allowed(i, operation)
	}
}

allowing contains i if {
	some i in governing
	endpoint_at[i].protocol == "graphql"
	sent_with("graphql")
	count(input.request.graphql) > 0
	every operation in input.request.graphql {
		operation_allowed(i, operation)
	}
}

allowing contains i if {
	some i in governing
	endpoint_at[i].protocol in {"json-rpc", "mcp"}
	sent_with("rpc")
	count(input.request.rpc) > 0
	every call in input.request.rpc {
		call_allowed(endpoint_at[i], call)
	}
}

# The stream on which an MCP server sends: it asks for nothing.
allowing contains i if {
	some i in governing
	mcp_stream(i)
}

allowing contains i if {
	some i in governing
	endpoint_at[i].protocol == "sql"
	some rule in endpoint_at[i].allow
	text_matches(rule.command, upper(input.request.command))
}

reads_this(i) if {
	input.request.kind == "websocket_text"
	endpoint_at[i].reads_messages
}

allows_head(rule, method) if {
	rule.about == "http"
	method_matches(rule, method)
	path_glob_matches(rule.path, input.request.path, segments)
	every matcher in rule.query {
		count(input.request.query[matcher.name]) > 0
		every value in input.request.query[matcher.name] {
			text_matches_any(matcher.globs, value)
		}
	}
}

method_matches(rule, _) if rule.methods["*"]

method_matches(rule, method) if rule.methods[method]

segments := split(input.request.path, "/")

operation_allowed(i, operation) if {
	known := known_operation(i, operation)
	some rule in endpoint_at[i].allow
	allows_operation(rule, known)
}

# An endpoint whose operations are only denied allows messages as such.
operation_allowed(i, _) if {
	endpoint_at[i].protocol == "websocket"
	not endpoint_at[i].allows_operations
	some rule in endpoint_at[i].allow
	allows_head(rule, "WEBSOCKET_TEXT")
}

allows_operation(rule, operation) if {
	rule.about == "graphql"
	type_matches(rule.type, operation.type)
	every glob in rule.names {
		text_matches(glob, operation.name)
	}
	fields_allowed(rule.fields, operation.fields)
}

type_matches(wanted, _) if wanted in {"*", ""}

type_matches(wanted, type) if wanted == type

fields_allowed(globs, _) if count(globs) == 0

fields_allowed(globs, fields) if {
	count(globs) > 0
	count(fields) > 0
	every field in fields {
		text_matches_any(globs, field)
	}
}

known_operation(_, operation) := operation if operation.type

known_operation(i, operation) := known if {
	known := endpoint_at[i].registered[operation.persisted]
	known.type in operation_types
}

operation_types := {"query", "mutation", "subscription"}

call_allowed(endpoint, call) if {
	endpoint.protocol == "mcp"
	call.response
}

call_allowed(endpoint, call) if {
	well_named(endpoint, call)
	some rule in endpoint.allow
	text_matches(rule.method, call.method)
	every matcher in rule.tools {
		text_matches_any(matcher.globs, call.name)
	}
}

call_allowed(endpoint, call) if {
	endpoint.known_methods
	call.method in known_methods
	call.method != "tools/call"
}

# Rules about tools narrow what the switch for all known methods opens.
call_allowed(endpoint, call) if {
	endpoint.known_methods
	call.method == "tools/call"
	well_named(endpoint, call)
	count(endpoint.allow) == 0
}

well_named(endpoint, _) if endpoint.protocol == "json-rpc"

well_named(endpoint, call) if {
	endpoint.protocol == "mcp"
	call.method != "tools/call"
	lower(call.method) != "tools/call"
}

well_named(endpoint, call) if {
	endpoint.protocol == "mcp"
	call.method == "tools/call"
	call.name != ""
	not endpoint.strict_tools
}

well_named(endpoint, call) if {
	endpoint.protocol == "mcp"
	call.method == "tools/call"
	endpoint.strict_tools
	count(call.name) >= 1
	count(call.name) <= 128
	count([char | some char in split(call.name, ""); not contains(tool_characters, char)]) == 0
}

tool_characters := "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"

# Messages that a client sends, up to the protocol version of 2025-11-25.
known_methods := {
	"initialize", "ping", "completion/complete", "logging/setLevel",
	"tools/list", "tools/call", "prompts/list", "prompts/get",
	"resources/list", "resources/templates/list", "resources/read", "resources/subscribe", "resources/unsubscribe",
	"tasks/list", "tasks/get", "tasks/result", "tasks/cancel",
	"notifications/initialized", "notifications/cancelled", "notifications/progress", "notifications/roots/list_changed", "notifications/tasks/status",
}

# --- heads and bodies

slashes_accepted if not contains(input.request.path, "%2F")

slashes_accepted if input.request.kind == "sql"

slashes_accepted if {
	every i in governing {
		endpoint_at[i].encoded_slash
	}
}

body_needed if {
	some i in governing
	body_field := {"graphql": "graphql", "json-rpc": "rpc", "mcp": "rpc"}[endpoint_at[i].protocol]
	not body_field in object.keys(input.request)
	sent_with(body_field)
}

sent_with(field) if {
	input.request.upgrade == ""
	upper(input.request.method) in {"graphql": {"GET", "POST"}, "rpc": {"POST"}}[field]
}

mcp_stream(i) if {
	endpoint_at[i].protocol == "mcp"
	input.request.kind == "http"
	upper(input.request.method) == "GET"
	input.request.upgrade == ""
	not "rpc" in object.keys(input.request)
}

# --- shape, before anything else reads it: a field that is missing or of another type must never make a deny rule undefined and so be skipped

valid_endpoints if {
	is_object(input)
	object.keys(input) == {"endpoints", "request"}
	is_array(input.endpoints)
	count(input.endpoints) > 0
	count([ref | some ref in input.endpoints; not valid_ref(ref)]) == 0
}

valid_ref(ref) if {
	is_array(ref)
	count(ref) == 2
	is_string(ref[0])
	is_number(ref[1])
}

valid_request if {
	input.request.kind == "http"
	fields := object.keys(input.request)
	count({"kind", "method", "path", "query", "upgrade"} - fields) == 0
	count(fields - {"kind", "method", "path", "query", "upgrade", "graphql", "rpc"}) == 0
	valid_method
	valid_http_path
	valid_query
	input.request.upgrade in {"", "websocket"}
	not upgrades_without_get
	valid_graphql
	valid_rpc
}

valid_request if {
	input.request.kind == "websocket_text"
	fields := object.keys(input.request)
	count({"kind", "path", "query"} - fields) == 0
	count(fields - {"kind", "path", "query", "graphql"}) == 0
	valid_request_path
	valid_query
	valid_graphql
}

valid_request if {
	input.request.kind == "sql"
	object.keys(input.request) == {"kind", "command"}
	is_string(input.request.command)
	input.request.command != ""
}

# A message is no request: its word as a method would be let through by rules for messages.
valid_method if {
	is_string(input.request.method)
	input.request.method != ""
	upper(input.request.method) != "WEBSOCKET_TEXT"
	not contains(input.request.method, "*")
}

upgrades_without_get if {
	input.request.upgrade == "websocket"
	upper(input.request.method) != "GET"
}

valid_http_path if valid_request_path

valid_http_path if {
	input.request.path == "*"
	upper(input.request.method) == "OPTIONS"
}

# Canonical: what servers could read in two ways never comes here.
valid_request_path if {
	is_string(input.request.path)
	startswith(input.request.path, "/")
	not contains(input.request.path, "//")
	not contains(input.request.path, "?")
	not contains(input.request.path, "#")
	not contains(input.request.path, "%2f")
	not contains(input.request.path, "/./")
	not contains(input.request.path, "/../")
	not endswith(input.request.path, "/.")
	not endswith(input.request.path, "/..")
}

valid_query if {
	is_object(input.request.query)
	count([name | some name, values in input.request.query; not valid_values(values)]) == 0
}

valid_values(values) if {
	is_array(values)
	count(values) > 0
	count([value | some value in values; not is_string(value)]) == 0
}

valid_graphql if not "graphql" in object.keys(input.request)

valid_graphql if {
	is_array(input.request.graphql)
	count([operation | some operation in input.request.graphql; not valid_operation(operation)]) == 0
}

valid_operation(operation) if {
	object.keys(operation) == {"type", "name", "fields"}
	operation.type in operation_types
	is_string(operation.name)
	is_array(operation.fields)
	count([field | some field in operation.fields; not is_string(field)]) == 0
}

valid_operation(operation) if {
	object.keys(operation) == {"persisted"}
	is_string(operation.persisted)
}

valid_rpc if not "rpc" in object.keys(input.request)

valid_rpc if {
	is_array(input.request.rpc)
	count([call | some call in input.request.rpc; not valid_call(call)]) == 0
}

valid_call(call) if {
	object.keys(call) == {"response"}
	call.response == true
}

valid_call(call) if {
	object.keys(call) == {"method"}
	is_string(call.method)
}

valid_call(call) if {
	object.keys(call) == {"method", "name"}
	is_string(call.method)
	is_string(call.name)
}
