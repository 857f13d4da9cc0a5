package io.epidote.engine.onnx;

/** A tensor inside a graph: an input, an initializer or a node's output. */
public record Value(String name) {}
