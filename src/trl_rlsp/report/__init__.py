"""The report: one self-contained page about one or several runs, with warnings.

Promises: the page loads nothing; text of data and models is shown only as text; numbers have intervals. Knows nothing
about how a run was made, and changes nothing in it.
"""

from trl_rlsp.evaluation import can_draw
from trl_rlsp.report._page import PAGE_FILE, Contents, build, render, write
from trl_rlsp.report._warnings import RunWarning, Thresholds, find
