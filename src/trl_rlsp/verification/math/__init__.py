"""Is a mathematical answer right: as text, as an exact rational number, then symbolically in a worker process.

Promises: nothing symbolic happens in the calling process; no answer is paid beside another one, nor for restating its
prompt. Knows nothing of rewards, and of completions only their `Reading`.
"""
