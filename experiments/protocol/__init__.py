"""The protocol of a study: paired runs, equal budgets, yardsticks, scores, tables and a report."""
