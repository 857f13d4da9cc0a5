package io.epidote.engine.model;

import io.epidote.engine.kernel.AdapterLayers;
import java.nio.file.Path;

/** An adapter in a decoder's memory. */
interface AdapterWeights extends AutoCloseable {
  /** How the weights of an adapter's folder get into a decoder's memory; by any thread. */
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

  /** Bytes that it has resident. */
  long bytes();

  /** That it is mapped from; empty when there is none. */
  String file();

  AdapterLayers layers();

  /** Frees memory and slots; no step uses it any more. */
  @Override
  void close();
}
