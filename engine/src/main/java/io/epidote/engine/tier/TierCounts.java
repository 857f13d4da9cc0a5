package io.epidote.engine.tier;

/**
 * What happened since the start, and what is where.
 *
 * @param switches adapters that became hot for those who waited for them
 * @param hits requests that found their adapter hot
 * @param waits requests that had to wait for theirs
 * @param evictions adapters that had to give up their slots
 * @param reads adapters that were read in beside running steps
 * @param readBytes of them
 * @param pins requests that run with adapters
 * @param hotSlots expert slots that hot adapters have
 * @param hotBytes of hot adapters
 * @param warmBytes of warm ones
 * @param coldBytes of cold ones
 * @param longestWaitNanos of a request for its adapter
 */
public record TierCounts(
    long switches,
    long hits,
    long waits,
    long evictions,
    long reads,
    long readBytes,
    int pins,
    long hotSlots,
    long hotBytes,
    long warmBytes,
    long coldBytes,
    long longestWaitNanos) {}
