//! Nothing but tests: the dashboard in a real browser.
