package io.epidote.cli.chaos;

import io.epidote.proto.v1.SamplingParams;
import java.util.List;

/**
 * One of the distinct requests of a workload.
 *
 * @param index from 0
 * @param pictures PNG files
 * @param sampling greedy or seeded, so that its answer is always the same
 * @param http whether it is asked over OpenAI's API instead of gRPC
 */
record ChaosRequest(
    int index, List<byte[]> pictures, String text, SamplingParams sampling, boolean http) {}
