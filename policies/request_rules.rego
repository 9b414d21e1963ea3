# Which endpoints deny a request and which allow it, by the tables of data.index.requests.
package openshell

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
