package request_test

import data.openshell

defaults := {
	"enforce": true, "access": "", "path": "", "encoded_slash": false, "opaque_messages": false,
	"rules": [], "deny_rules": [], "registered": {}, "strict_tools": true, "known_methods": false,
}

empty := {"method": "", "path": "", "query": {}, "command": "", "operation_type": "", "operation_name": "", "fields": [], "params": {}}

rule(change) := object.union(empty, change)

endpoint(protocol, change) := {"host": "a.example", "ports": [443], "protocol": protocol, "requests": object.union(defaults, change)}

plain := {"host": "a.example", "ports": [443], "protocol": ""}

http(method, path) := {"kind": "http", "method": method, "path": path, "query": {}, "upgrade": ""}

rules(list) := {"rules": [rule(r) | some r in list]}

# Endpoints e/0, e/1, … all match the connection.
answer(endpoints, request) := result if {
	policies := {"e": {"endpoints": endpoints, "binaries": []}}
	tables := openshell.index with data.policies as policies
	refs := [["e", i] | some i, _ in endpoints]
	result := openshell.request with data.policies as policies with data.index as tables with input as {"endpoints": refs, "request": request}
}

action(endpoint, request) := answer([endpoint], request).action

code(endpoint, request) := answer([endpoint], request).code

# --- presets: case-56, case-57

expected_presets := {
	["rest", "read-only"]: {"GET", "HEAD", "OPTIONS"},
	["rest", "read-write"]: {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH"},
	["rest", "full"]: {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"},
	["websocket", "read-only"]: {"GET", "HEAD"},
	["websocket", "read-write"]: {"GET", "HEAD"},
	["websocket", "full"]: {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"},
}

test_presets_of_http if {
	wrong := [[key, method] |
		some key, methods in expected_presets
		some method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"]
		allowed := {m | m := method; action(endpoint(key[0], {"access": key[1]}), http(m, "/x")) == "allow"}
		allowed != methods & {method}
	]
	wrong == []
}

text := {"kind": "websocket_text", "path": "/chat", "query": {}}

test_presets_of_messages if {
	action(endpoint("websocket", {"access": "read-only"}), text) == "deny"
	action(endpoint("websocket", {"access": "read-write"}), text) == "allow"
	action(endpoint("websocket", {"access": "full"}), text) == "allow"
}

graphql(type) := object.union(http("POST", "/graphql"), {"graphql": [{"type": type, "name": "", "fields": ["viewer"]}]})

test_presets_of_graphql if {
	operations_of("read-only") == {"query"}
	operations_of("read-write") == {"query", "mutation"}
	operations_of("full") == {"query", "mutation", "subscription"}
}

operations_of(access) := {type | some type in ["query", "mutation", "subscription"]; action(endpoint("graphql", {"access": access}), graphql(type)) == "allow"}

sql(command) := {"kind": "sql", "command": command}

test_presets_of_sql if {
	audited("read-only", "select") == "allow"
	audited("read-only", "INSERT") == "audit"
	audited("read-write", "INSERT") == "allow"
	audited("read-write", "DROP") == "audit"
	audited("full", "DROP") == "allow"
}

audited(access, command) := action(endpoint("sql", {"access": access, "enforce": false}), sql(command))

# --- case-58

test_audit_lets_through_and_says_so if {
	audit := endpoint("rest", {"access": "read-only", "enforce": false})
	answer([audit], http("POST", "/x")) == {"action": "audit", "code": "request_not_allowed", "endpoint": ["e", 0]}
	denied := endpoint("rest", {"access": "full", "enforce": false, "deny_rules": [rule({"method": "POST"})]})
	answer([denied], http("POST", "/x")).action == "audit"
}

# --- case-59 and the grammar of paths

listed(path) := endpoint("rest", rules([{"method": "GET", "path": path}]))

test_star_stays_in_its_segment if {
	action(listed("/repos/*"), http("GET", "/repos/a")) == "allow"
	action(listed("/repos/*"), http("GET", "/repos/a/b")) == "deny"
	action(listed("/repos/*"), http("GET", "/repos")) == "deny"
	action(listed("/repos/**"), http("GET", "/repos/a/b")) == "allow"
	action(listed("/repos/**"), http("GET", "/repos")) == "deny"
	action(listed("/other"), http("GET", "/repos")) == "deny"
}

path_patterns := [
	"/", "/**", "/*", "/a", "/a/", "/a/*", "/a/**", "/**/a", "/**/a/**", "/a/**/b", "/a/**/b/**", "/**/a/**/b", "/**/**", "/a/**/**/b", "/*/a",
	"/a*b", "/a*b*c", "/*a*/b", "/**/a*", "/a/**/b*/**/c", "/**/a/b/**/a/b",
]

request_paths := [
	"/", "/a", "/a/", "/b", "/a/b", "/a/b/", "/a/x/b", "/a/x/y/b", "/a/b/b", "/x/a", "/x/a/y", "/x/a/y/b", "/a/a", "/ab", "/axb", "/abc", "/axbyc",
	"/acb", "/xax/b", "/x/axx", "/a/b/c", "/a/q/b/r/c", "/a/q/bb/r/s/c", "/a/b/a/b/a/b", "/z/a/b/a/b", "/z/a/b/y/a/b", "/a/a/a/b/b/b",
]

path_matches(pattern, path) if openshell.path_glob_matches(openshell.path_glob(pattern), path, split(path, "/"))

test_paths_agree_with_glob if {
	wrong := [[pattern, path] |
		some pattern in path_patterns
		some path in request_paths
		{r | r := true; path_matches(pattern, path)} != {r | r := true; glob.match(pattern, ["/"], path)}
	]
	wrong == []
}

text_patterns := [
	"a", "*", "a*", "*a", "a*b", "*a*", "a*b*c", "*a*b*", "a*a", "*ab*ab*", "a?b", "?", "??", "a*?", "[ab]c", "[a-c]*", "[!a]*", "*[0-9]", "*[0-9]*[a-b]*c",
	"a**b", "?*?", "[!0-9][0-9]*", "é*", "*[à-ü]",
]

values := [
	"", "a", "b", "ab", "aab", "axb", "abc", "axbyc", "aXbXc", "acb", "ba", "abab", "xabyab", "aa", "aba", "ac", "bc", "cc", "9", "a9", "9a", "x1a2bc",
	"1bc", "x-y", "xy", "/a/b", "a/b", "é", "éa", "aé", "a\nb",
]

test_values_agree_with_glob if {
	wrong := [[pattern, value] |
		some pattern in text_patterns
		some value in values
		{r | r := true; openshell.text_matches(openshell.text_glob(pattern), value)} != {r | r := true; glob.match(pattern, [], value)}
	]
	wrong == []
}

# --- case-63: query matchers

search(query) := object.union(http("GET", "/search"), {"query": query})

test_allow_needs_every_value if {
	e := endpoint("rest", rules([{"method": "GET", "query": {"q": ["x*", "y"], "p": ["*"]}}]))
	action(e, search({"q": ["x1"], "p": ["1"]})) == "allow"
	action(e, search({"q": ["x1", "y"], "p": ["1"], "more": ["z"]})) == "allow"
	action(e, search({"q": ["x1", "z"], "p": ["1"]})) == "deny"
	action(e, search({"q": ["x1"]})) == "deny"
	action(e, search({"Q": ["x1"], "p": ["1"]})) == "deny"
	action(e, search({"q": ["X1"], "p": ["1"]})) == "deny"
	action(e, search({})) == "deny"
}

test_deny_needs_one_value if {
	e := endpoint("rest", {"access": "full", "deny_rules": [rule({"query": {"force": ["true", "1"]}})]})
	code(e, search({"force": ["no", "1"]})) == "request_denied"
	action(e, search({"force": ["no"]})) == "allow"
	action(e, search({})) == "allow"
}

# --- case-64

test_methods if {
	e := endpoint("rest", rules([{"method": "get", "path": "/x"}]))
	action(e, http("GET", "/x")) == "allow"
	action(e, http("HEAD", "/x")) == "allow"
	action(e, http("gEt", "/x")) == "allow"
	action(e, http("POST", "/x")) == "deny"
	head := endpoint("rest", rules([{"method": "HEAD"}]))
	action(head, http("GET", "/x")) == "deny"
	denied := endpoint("rest", {"access": "full", "deny_rules": [rule({"method": "GET"})]})
	action(denied, http("head", "/x")) == "deny"
	action(denied, http("POST", "/x")) == "allow"
}

# --- case-65

test_deny_beats_full if {
	e := endpoint("rest", {"access": "full", "deny_rules": [rule({"method": "*", "path": "/admin/**"})]})
	answer([e], http("GET", "/admin/x")) == {"action": "deny", "code": "request_denied", "endpoint": ["e", 0]}
	action(e, http("GET", "/x")) == "allow"
}

test_deny_of_another_endpoint_counts if {
	full := endpoint("rest", {"access": "full"})
	denying := endpoint("rest", {"access": "read-only", "deny_rules": [rule({"path": "/admin"})]})
	answer([full, denying], http("GET", "/admin")) == {"action": "deny", "code": "request_denied", "endpoint": ["e", 1]}
	answer([full, denying], http("POST", "/x")) == {"action": "allow", "endpoint": ["e", 0]}
}

# A slip that says nothing opens nothing as an allow rule, and closes everything as a deny rule.
test_rules_that_say_nothing if {
	action(endpoint("rest", rules([{}, {"method": "GET"}])), http("POST", "/x")) == "deny"
	action(endpoint("rest", {"access": "full", "deny_rules": [empty]}), http("GET", "/x")) == "deny"
}

# --- several endpoints

test_the_inspected_endpoint_governs if {
	readonly := endpoint("rest", {"access": "read-only"})
	answer([plain, readonly], http("POST", "/x")) == {"action": "deny", "code": "request_not_allowed", "endpoint": ["e", 1]}
	answer([plain, readonly], http("GET", "/x")) == {"action": "allow", "endpoint": ["e", 1]}
	answer([plain], http("POST", "/x")) == {"action": "allow", "endpoint": ["e", 0]}
}

test_the_most_specific_selector_governs if {
	all := endpoint("rest", {"access": "full"})
	api := endpoint("rest", {"access": "read-only", "path": "/api/**"})
	v2 := endpoint("rest", {"access": "full", "path": "/api/v2/**", "enforce": false})
	answer([all, api, v2], http("POST", "/api/x")) == {"action": "deny", "code": "request_not_allowed", "endpoint": ["e", 1]}
	answer([all, api, v2], http("POST", "/api")) == {"action": "deny", "code": "request_not_allowed", "endpoint": ["e", 1]}
	answer([all, api, v2], http("POST", "/api/v2/x")) == {"action": "allow", "endpoint": ["e", 2]}
	answer([all, api, v2], http("POST", "/apix")) == {"action": "allow", "endpoint": ["e", 0]}
	answer([api], http("GET", "/other")) == {"action": "deny", "code": "path_not_covered", "endpoint": ["e", 0]}
	answer([plain, api], http("GET", "/other")) == {"action": "deny", "code": "path_not_covered", "endpoint": ["e", 1]}
}

test_deny_of_a_wider_endpoint_counts if {
	all := endpoint("rest", {"access": "full", "deny_rules": [rule({"method": "DELETE"})]})
	api := endpoint("rest", {"access": "full", "path": "/api/**"})
	action_of := answer([all, api], http("DELETE", "/api/x"))
	action_of == {"action": "deny", "code": "request_denied", "endpoint": ["e", 0]}
}

test_one_that_enforces_is_enough if {
	audit := endpoint("rest", {"access": "read-only", "enforce": false})
	enforce := endpoint("rest", {"access": "read-only"})
	answer([audit, enforce], http("POST", "/x")).action == "deny"
	answer([audit, audit], http("POST", "/x")).action == "audit"
}

test_protocols_that_disagree_are_refused if {
	rest := endpoint("rest", {"access": "full"})
	rpc := endpoint("json-rpc", rules([{"method": "*"}]))
	answer([rest, rpc], http("POST", "/x")).code == "protocol_ambiguous"
}

picks(path, request) if action(endpoint("rest", {"access": "full", "path": path}), http("GET", request)) == "allow"

test_selectors_are_free_patterns if {
	picks("/x/**", "/x")
	picks("/x/**", "/x/y/z")
	not picks("/x/**", "/xy")
	picks("/x/*", "/x/y/z")
	picks("/v?/a", "/v1/a")
	picks("/v[0-9]/**", "/v1/a/b")
	not picks("/v[0-9]/**", "/vx/a/b")
	picks("**", "/")
}

spelled(path, plain) := object.union(http("GET", path), {"plain": plain})

test_a_narrow_selector_governs_either_spelling if {
	narrow := endpoint("rest", object.union({"path": "/x@y/**"}, rules([{"method": "POST", "path": "**"}])))
	wide := endpoint("rest", {"access": "full", "path": "/**"})
	answer([narrow, wide], http("GET", "/x@z/a")).action == "allow"
	answer([narrow, wide], http("GET", "/x@y/a")).code == "request_not_allowed"
	answer([narrow, wide], spelled("/x%40y/a", "/x@y/a")).code == "request_not_allowed"
	answer([narrow, wide], spelled("/x%40y/a", "/x@y/a")).endpoint == ["e", 0]
	answer([wide], spelled("/x%40y/a", "/x@y/a")).action == "allow"
	answer([wide], spelled("/x%40y/a", 7)).code == "malformed"
	answer([wide], spelled("/x%40y/a", "")).code == "malformed"
}

# --- case-66: what servers could read in two ways

test_encoded_slashes if {
	readonly := endpoint("rest", {"access": "read-only"})
	code(readonly, http("GET", "/@types%2Fnode")) == "encoded_slash"
	action(endpoint("rest", {"access": "read-only", "encoded_slash": true}), http("GET", "/@types%2Fnode")) == "allow"
}

# --- upgrades and messages

upgrade := object.union(http("GET", "/chat"), {"upgrade": "websocket"})

test_upgrades if {
	action(endpoint("websocket", {"access": "read-only"}), upgrade) == "allow"
	action(endpoint("websocket", rules([{"method": "GET", "path": "/chat"}])), upgrade) == "allow"
	action(endpoint("websocket", rules([{"method": "GET", "path": "/other"}])), upgrade) == "deny"

	# Nobody reads the messages of a rest endpoint, so the right to read is not enough.
	action(endpoint("rest", {"access": "read-only"}), upgrade) == "deny"
	action(endpoint("rest", rules([{"method": "GET"}])), upgrade) == "deny"
	action(endpoint("rest", {"access": "read-write"}), upgrade) == "allow"
	action(endpoint("rest", {"access": "full"}), upgrade) == "allow"
	action(endpoint("rest", object.union(rules([{"method": "GET"}]), {"opaque_messages": true})), upgrade) == "allow"
	action(endpoint("rest", {"access": "full", "deny_rules": [rule({"method": "WEBSOCKET_TEXT"})]}), upgrade) == "deny"
	action(endpoint("graphql", {"access": "full"}), upgrade) == "deny"
	action(endpoint("mcp", {"known_methods": true}), upgrade) == "deny"
}

test_messages_that_nobody_reads if {
	action(endpoint("rest", {"access": "read-only"}), text) == "deny"
	action(endpoint("rest", {"access": "read-write"}), text) == "allow"
	opaque := endpoint("rest", object.union(rules([{"method": "GET", "path": "/chat"}]), {"opaque_messages": true}))
	action(opaque, text) == "allow"
	action(opaque, object.union(text, {"path": "/other"})) == "deny"
}

test_messages if {
	e := endpoint("websocket", rules([{"method": "GET"}, {"method": "WEBSOCKET_TEXT", "path": "/chat"}]))
	action(e, text) == "allow"
	action(e, object.union(text, {"path": "/other"})) == "deny"
	denied := endpoint("websocket", {"access": "full", "deny_rules": [rule({"method": "WEBSOCKET_TEXT", "query": {"room": ["ops"]}})]})
	action(denied, object.union(text, {"query": {"room": ["ops"]}})) == "deny"
	action(denied, text) == "allow"
}

# The word for messages is no method that a client may send.
test_message_is_no_method if {
	code(endpoint("websocket", {"access": "full"}), http("websocket_text", "/chat")) == "malformed"
	code(endpoint("rest", {"access": "full"}), http("WEBSOCKET_TEXT", "/chat")) == "malformed"
}

subscribe(type) := object.union(text, {"graphql": [{"type": type, "name": "", "fields": ["tick"]}]})

test_operations_in_messages if {
	e := endpoint("websocket", rules([{"method": "GET"}, {"operation_type": "subscription", "fields": ["tick"]}]))
	action(e, upgrade) == "allow"
	action(e, subscribe("subscription")) == "allow"
	action(e, subscribe("mutation")) == "deny"
	action(e, object.union(text, {"graphql": []})) == "allow"
	action(e, text) == "deny"
	only_denied := endpoint("websocket", {"access": "full", "deny_rules": [rule({"operation_type": "mutation"})]})
	action(only_denied, subscribe("mutation")) == "deny"
	action(only_denied, subscribe("query")) == "allow"
	action(only_denied, text) == "deny"
}

# --- graphql: case-74

operations(list) := object.union(http("POST", "/graphql"), {"graphql": list})

operation(type, name, fields) := {"type": type, "name": name, "fields": fields}

test_graphql_fields_and_names if {
	e := endpoint("graphql", rules([{"operation_type": "query", "fields": ["viewer", "repo*"]}, {"operation_type": "mutation", "operation_name": "Safe*"}]))
	action(e, operations([operation("query", "", ["viewer", "repository"])])) == "allow"
	action(e, operations([operation("query", "", ["viewer", "secret"])])) == "deny"
	action(e, operations([operation("query", "", [])])) == "deny"
	action(e, operations([operation("mutation", "SafeOne", ["x"])])) == "allow"
	action(e, operations([operation("mutation", "", ["x"])])) == "deny"
	action(e, operations([operation("query", "", ["viewer"]), operation("mutation", "Bad", ["x"])])) == "deny"
	action(e, operations([])) == "deny"
	denied := endpoint("graphql", {"access": "full", "deny_rules": [rule({"operation_type": "mutation", "fields": ["delete*"]})]})
	action(denied, operations([operation("mutation", "", ["add", "deleteAll"])])) == "deny"
	action(denied, operations([operation("query", "", ["deleteAll"])])) == "allow"
}

test_graphql_needs_its_body if {
	e := endpoint("graphql", {"access": "full"})
	answer([e], http("POST", "/graphql")) == {"action": "deny", "code": "body_needed", "endpoint": ["e", 0]}
	code(endpoint("graphql", {"access": "full", "enforce": false}), http("GET", "/graphql")) == "body_needed"
	code(e, http("PUT", "/graphql")) == "request_not_allowed"
	code(e, object.union(operations([operation("query", "", ["a"])]), {"method": "PUT"})) == "request_not_allowed"
}

test_stored_operations if {
	stored := operations([{"persisted": "abc"}])
	known := {"abc": operation("query", "Me", ["viewer"])}
	action(endpoint("graphql", {"access": "read-only", "registered": known}), stored) == "allow"
	action(endpoint("graphql", {"access": "full"}), stored) == "deny"
	action(endpoint("graphql", {"access": "full", "registered": {"abc": operation("other", "", [])}}), stored) == "deny"

	# What nobody knows may be what is denied.
	denying := endpoint("graphql", {"access": "full", "deny_rules": [rule({"operation_type": "mutation"})]})
	allowing := endpoint("graphql", {"access": "read-only", "registered": known})
	answer([allowing, denying], stored).code == "request_denied"
}

# --- json-rpc and mcp: case-74

calls(list) := object.union(http("POST", "/rpc"), {"rpc": list})

test_json_rpc if {
	e := endpoint("json-rpc", rules([{"method": "eth_call"}]))
	action(e, calls([{"method": "eth_call"}])) == "allow"
	action(e, calls([{"method": "ETH_CALL"}])) == "deny"
	action(e, calls([{"method": "eth_call"}, {"method": "eth_send"}])) == "deny"
	action(e, calls([{"response": true}])) == "deny"
	action(e, calls([])) == "deny"
	code(e, http("POST", "/rpc")) == "body_needed"
	code(e, http("GET", "/rpc")) == "request_not_allowed"
	denied := endpoint("json-rpc", object.union(rules([{"method": "*"}]), {"deny_rules": [rule({"method": "admin"})]}))
	action(denied, calls([{"method": "x"}])) == "allow"
	action(denied, calls([{"method": "Admin"}])) == "deny"
	literal := endpoint("json-rpc", rules([{"method": "a[b]?"}]))
	action(literal, calls([{"method": "a[b]?"}])) == "allow"
	action(literal, calls([{"method": "abx"}])) == "deny"
}

tool(name) := calls([{"method": "tools/call", "name": name}])

test_mcp_tools if {
	e := endpoint("mcp", object.union(rules([{"method": "initialize"}, {"method": "tools/call", "params": {"name": ["read_*"]}}]), {"deny_rules": [rule({"method": "tools/call", "params": {"name": ["read_secret"]}})]}))
	action(e, calls([{"method": "initialize"}])) == "allow"
	action(e, tool("read_file")) == "allow"
	action(e, tool("write_file")) == "deny"
	answer([e], tool("read_secret")).code == "request_denied"
	answer([e], calls([{"method": "tools/call"}])).code == "request_denied"
	answer([e], calls([{"method": "Tools/Call", "name": "read_secret"}])).code == "request_denied"
	action(e, calls([{"method": "Tools/Call", "name": "read_file"}])) == "deny"
	action(e, tool("read_file\n")) == "deny"
	action(e, tool("read_\u202efile")) == "deny"
	action(e, calls([{"response": true}])) == "allow"
	action(e, http("GET", "/mcp")) == "allow"
	action(e, http("DELETE", "/mcp")) == "deny"
	action(e, calls([{"method": "initialize"}, {"method": "resources/read"}])) == "deny"
}

test_mcp_known_methods if {
	all := endpoint("mcp", {"known_methods": true})
	action(all, calls([{"method": "resources/read"}])) == "allow"
	action(all, tool("anything")) == "allow"
	action(all, calls([{"method": "vendor/secret"}])) == "deny"
	some_tools := endpoint("mcp", object.union(rules([{"params": {"name": ["ls"]}}]), {"known_methods": true}))
	action(some_tools, calls([{"method": "resources/read"}])) == "allow"
	action(some_tools, tool("ls")) == "allow"
	action(some_tools, tool("rm")) == "deny"
}

test_sql_rules if {
	e := endpoint("sql", object.union(rules([{"command": "select"}]), {"deny_rules": [rule({"command": "COPY*"})], "enforce": false}))
	action(e, sql("SELECT")) == "allow"
	action(e, sql("DELETE")) == "audit"
	code(e, sql("copy")) == "request_denied"
	code(e, http("GET", "/")) == "path_not_covered"
	code(endpoint("rest", {"access": "full"}), sql("SELECT")) == "path_not_covered"
}

# --- shapes. The endpoint allows everything and denies one thing, so that whatever skips the deny rule is seen.

guarded := endpoint("rest", {"access": "full", "deny_rules": [rule({"method": "GET", "path": "/x", "query": {"q": ["1"]}})]})

malformed(request) if answer([guarded], request) == {"action": "deny", "code": "malformed"}

test_malformed_requests_are_refused if {
	good := object.union(http("GET", "/x"), {"query": {"q": ["1"]}})
	answer([guarded], good).code == "request_denied"
	bad := array.concat(
		[null, false, true, 1, "x", [], {}],
		array.concat(
			[object.remove(good, [field]) | some field in ["kind", "method", "path", "query", "upgrade"]],
			[object.union(object.remove(good, ["query"]), change) |
				some change in [
					{"query": null}, {"query": []}, {"query": {"q": "1"}}, {"query": {"q": []}}, {"query": {"q": [1]}}, {"query": {"q": null}},
					{"query": {}, "kind": "other"}, {"query": {}, "kind": null}, {"query": {}, "more": 1},
					{"query": {}, "method": ""}, {"query": {}, "method": null}, {"query": {}, "method": ["GET"]}, {"query": {}, "method": "*"}, {"query": {}, "method": "WebSocket_Text"},
					{"query": {}, "path": ""}, {"query": {}, "path": null}, {"query": {}, "path": "x"}, {"query": {}, "path": "//x"}, {"query": {}, "path": "/a/../x"},
					{"query": {}, "path": "/./x"}, {"query": {}, "path": "/x/.."}, {"query": {}, "path": "/x/."}, {"query": {}, "path": "/x?q=1"}, {"query": {}, "path": "/x#y"},
					{"query": {}, "path": "/a%2fb"}, {"query": {}, "path": "*"},
					{"query": {}, "upgrade": null}, {"query": {}, "upgrade": "h2c"}, {"query": {}, "upgrade": "websocket", "method": "POST"},
					{"query": {}, "graphql": null}, {"query": {}, "graphql": [{}]}, {"query": {}, "graphql": [{"type": "x", "name": "", "fields": []}]},
					{"query": {}, "graphql": [{"type": "query", "name": null, "fields": []}]}, {"query": {}, "graphql": [{"type": "query", "name": "", "fields": [1]}]},
					{"query": {}, "graphql": [{"type": "query", "name": ""}]}, {"query": {}, "graphql": [{"persisted": 1}]},
					{"query": {}, "rpc": {}}, {"query": {}, "rpc": [{}]}, {"query": {}, "rpc": [{"method": 1}]}, {"query": {}, "rpc": [{"method": "x", "name": null}]},
					{"query": {}, "rpc": [{"response": false}]}, {"query": {}, "rpc": [{"method": "x", "response": true}]},
				]
			],
		),
	)
	[request | some request in bad; not malformed(request)] == []
}

test_asterisk_form_is_for_options if {
	action(endpoint("rest", {"access": "read-only"}), http("OPTIONS", "*")) == "allow"
	action(listed("/**"), http("OPTIONS", "*")) == "deny"
}

ask(body) := result if {
	policies := {"e": {"endpoints": [guarded], "binaries": []}}
	tables := openshell.index with data.policies as policies
	result := openshell.request with data.policies as policies with data.index as tables with input as body
}

test_malformed_endpoints_are_refused if {
	request := http("GET", "/y")
	ask({"endpoints": [["e", 0]], "request": request}).action == "allow"
	wrong := [body |
		some body in [
			null, {}, [], false, {"request": request}, {"endpoints": [["e", 0]]}, {"endpoints": [], "request": request}, {"endpoints": null, "request": request},
			{"endpoints": ["e/0"], "request": request}, {"endpoints": [["e"]], "request": request}, {"endpoints": [["e", "0"]], "request": request},
			{"endpoints": [["e", 0]], "request": request, "more": 1},
		]
		ask(body) != {"action": "deny", "code": "malformed"}
	]
	wrong == []
	ask({"endpoints": [["e", 1]], "request": request}) == {"action": "deny", "code": "engine_failure"}
	ask({"endpoints": [["e", 0], ["f", 0]], "request": request}) == {"action": "deny", "code": "engine_failure"}
}

test_missing_index_is_refused if {
	r := openshell.request with input as {"endpoints": [["e", 0]], "request": http("GET", "/y")}
	r == {"action": "deny", "code": "engine_failure"}
	s := openshell.request
	s == {"action": "deny", "code": "malformed"}
}

# An inspected endpoint whose settings are missing is not a plain one.
test_missing_settings_are_refused if {
	e := {"host": "a.example", "ports": [443], "protocol": "rest"}
	answer([e], http("GET", "/y")) == {"action": "deny", "code": "engine_failure"}
	answer([object.remove(plain, ["protocol"])], http("GET", "/y")) == {"action": "deny", "code": "engine_failure"}
	answer([object.union(plain, {"protocol": "gopher"})], http("GET", "/y")) == {"action": "deny", "code": "engine_failure"}
}

# --- what cannot be decided

unsupported(e) := {entry.pattern | some entry in tables.unsupported} if {
	tables := openshell.index with data.policies as {"e": {"endpoints": [e], "binaries": []}}
}

test_undecidable_patterns_are_listed if {
	every path in ["/{a}", "/a?b", "/[a]", "/a\\b", "/a**", "/**a/b", "/**/a/**/b/**/c/**", "/a*b*c*d*e*f*g"] {
		unsupported(listed(path)) == {path}
	}
	every pattern in ["{a,b}", "a\\*", "[a", "a]", "[]", "[!]", "[z-a]", "[a-b-c]", "[a-]", "[-a]", "[*]", "[a]]", "[^a]", "a*b*c*d*e*f*g"] {
		unsupported(endpoint("rest", rules([{"query": {"q": [pattern]}}]))) == {pattern}
		unsupported(endpoint("graphql", rules([{"operation_type": "query", "fields": [pattern]}]))) == {pattern}
		unsupported(endpoint("mcp", {"deny_rules": [rule({"method": "tools/call", "params": {"name": [pattern]}})]})) == {pattern}
	}
	unsupported(endpoint("rest", rules([{"method": "P*"}]))) == {"P*"}
	unsupported(endpoint("rest", {"path": "/{x}"})) == {"/{x}"}
}

test_decidable_patterns_are_not_listed if {
	every path in path_patterns {
		unsupported(listed(path)) == set()
	}
	every pattern in ["a", "*", "a*b*c*d*e*f", "[a-z0-9_]*", "[!a-c]?", "a**b", "[ab-de]"] {
		unsupported(endpoint("rest", rules([{"query": {"q": [pattern]}}]))) == set()
	}
}
