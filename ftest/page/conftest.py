"""The browser that the tests of the page use."""
from __future__ import annotations

from ftest.harness.browser import browser as browser
