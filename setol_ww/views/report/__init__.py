"""The page that one can send: a report in one file of HTML, without a network.

Reads results; computes nothing. `page` puts it together, `payload` says what is in it, `words` what it says to someone
who has never read the paper; the scripts beside them draw it, with the libraries in `vendor`.
"""

from .page import report_page, write_comparison, write_report

__all__ = ["report_page", "write_comparison", "write_report"]
