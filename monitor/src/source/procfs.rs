//! /proc as a source of what was there before.
