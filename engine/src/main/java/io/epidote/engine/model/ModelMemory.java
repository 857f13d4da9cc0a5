package io.epidote.engine.model;

/**
 * What a loaded model takes of its process's memory.
 *
 * @param weightFile path of the file that weights are mapped from, empty when there is none
 * @param weightCopies bytes of weights that the process has for itself, in the kernels' order
 * @param activations bytes that steps work in, at their most so far
 */
public record ModelMemory(String weightFile, long weightCopies, long activations) {}
