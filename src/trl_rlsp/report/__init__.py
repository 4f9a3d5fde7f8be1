"""The report: one self-contained page about one or several runs, with warnings of what it sees.

Promises a page that loads nothing, in which text of data and models is only ever text, and numbers with their
intervals. Does not know how a run was made, and changes nothing in it.
"""

from trl_rlsp.evaluation import can_draw
from trl_rlsp.report._page import PAGE_FILE, Contents, build, render, write
from trl_rlsp.report._warnings import RunWarning, Thresholds, find
