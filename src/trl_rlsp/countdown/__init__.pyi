from .search import (
    SearchStep as SearchStep,
    SearchTrace as SearchTrace,
    count_attempts as count_attempts,
    read_search as read_search,
    search_demonstrations as search_demonstrations,
    written_search as written_search,
)
from .tiny import (
    CHAT_TEMPLATE as CHAT_TEMPLATE,
    LARGEST_NUMBER as LARGEST_NUMBER,
    build_model as build_model,
    build_tokenizer as build_tokenizer,
)
