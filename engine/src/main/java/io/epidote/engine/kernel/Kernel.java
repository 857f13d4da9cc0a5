package io.epidote.engine.kernel;

/** What a node of the graph computes. One instance belongs to one node. */
@FunctionalInterface
public interface Kernel {
  /** Reads the node's inputs and writes its outputs, on the thread that runs the graph. */
  void compute(KernelContext context) throws Throwable;
}
