"""What people see: the only home of tables, pictures and pages. Needs rich (the extra `cli`), for a page `report`."""

from __future__ import annotations

from pillars.report._audit import print_audit
from pillars.report._backends import print_backends, print_capabilities
from pillars.report._bench import print_bench
from pillars.report._compare import print_comparison
from pillars.report._console import error_console, output_console
from pillars.report._page import audit_page, bench_page, page_needs
from pillars.report._progress import progress_bar
from pillars.report._units import duration, error, times

__all__ = [
    "audit_page",
    "bench_page",
    "duration",
    "error",
    "error_console",
    "output_console",
    "page_needs",
    "print_audit",
    "print_backends",
    "print_bench",
    "print_capabilities",
    "print_comparison",
    "progress_bar",
    "times",
]
