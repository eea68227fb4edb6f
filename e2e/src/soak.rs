//! The randomized chain test: flows of several lanes that overlap in one pod, judged hop by hop.
