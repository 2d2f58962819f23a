//! What a journal on Redis must survive: lost answers, lost writes, a server that is away or full, damage, and other processes.
