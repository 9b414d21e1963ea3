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
	some path in spellings
	path == selector.base
}

selector_matches(selector) if {
	selector.kind == "below"
	some path in spellings
	startswith(path, concat("", [selector.base, "/"]))
}

selector_matches(selector) if {
	selector.kind == "glob"
	some path in spellings
	text_matches(selector.glob, path)
}

# Few servers tell the two apart, so a narrow endpoint governs both.
spellings := {path | some field in ["path", "plain"]; path := input.request[field]}

governing contains i if {
	most := max([endpoint_at[i].specificity | some i in covering])
	some i in covering
	endpoint_at[i].specificity == most
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
