//! Why a request gets the lane it gets, for people.
