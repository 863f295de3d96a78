"""The audit of every hand-derived gradient, by every method that applies."""

from __future__ import annotations

from pillars.measure.audit._audit import Audit, AuditRow, AuditState, audit, run_audit

__all__ = ["Audit", "AuditRow", "AuditState", "audit", "run_audit"]
