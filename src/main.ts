#!/usr/bin/env bun
console.log("openshell");
