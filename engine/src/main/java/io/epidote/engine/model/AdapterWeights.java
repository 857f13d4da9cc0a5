package io.epidote.engine.model;

import io.epidote.engine.kernel.AdapterLayers;
import io.epidote.engine.tier.TieredWeights;
import java.nio.file.Path;

/** An adapter of a decoder. */
interface AdapterWeights extends TieredWeights, AutoCloseable {
  /** How an adapter's folder becomes weights that are packed and mapped; by any thread. */
  @FunctionalInterface
  interface Loader {
    /**
     * @throws io.epidote.engine.error.EpidoteException.BadCheckpoint when the folder is not an
     *     adapter of the decoder's base; nothing has changed then
     */
    AdapterWeights load(Path folder);
  }

  /** Hex SHA-256 of the adapter's config and weights. */
  String digest();

  /** {@code esft} or {@code lora}. */
  String kind();

  /** That it is mapped from; empty when there is none. */
  String file();

  /**
   * What steps compute with.
   *
   * @throws IllegalStateException when it has no slots
   */
  AdapterLayers layers();

  /** Frees memory; it has no slots any more. */
  @Override
  void close();
}
