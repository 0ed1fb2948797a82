"""Texts in, the contract's typed columns out: `plan.compile_plan` makes the plan that does it, batch by batch."""
