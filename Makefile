# Thin on purpose: every command is one script or program that can also be called by itself. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help up down clean demo test bench drill
SHELL := /bin/bash

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

up: ## start the stack and all services in the background; writes .stack/env
	@deploy/stack.sh up

down: ## end what up started, keep the data
	@deploy/stack.sh down

clean: ## end it and remove its data (what was downloaded stays)
	@deploy/stack.sh wipe

demo: up ## play the whole way from quote to fulfilled order, and show it
	@deploy/stack.sh run demo

test: ## all checks and tests, on a stack of their own beside a running one
	@deploy/test.sh

bench: ## measure ratios against floors of the same run; target/bench/report.json and report.md
	@deploy/bench.sh

drill: up ## run a failure drill against the running stack: make drill NAME=...
	@deploy/stack.sh run drill $(NAME)
