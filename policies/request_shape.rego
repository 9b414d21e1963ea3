# The shape of a request, before anything else reads it: a field that is missing or of another type must never make a deny rule undefined and so be skipped
package openshell

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
	count(fields - {"kind", "method", "path", "plain", "query", "upgrade", "graphql", "rpc"}) == 0
	valid_method
	valid_http_path
	valid_plain
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
	count(fields - {"kind", "path", "plain", "query", "graphql"}) == 0
	valid_request_path
	valid_plain
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

# The path without escapes that it could do without, where it has such.
valid_plain if not "plain" in object.keys(input.request)

valid_plain if {
	is_string(input.request.plain)
	startswith(input.request.plain, "/")
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
