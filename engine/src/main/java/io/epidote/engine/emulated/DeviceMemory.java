package io.epidote.engine.emulated;

import io.epidote.engine.error.EpidoteException.InvalidRequest;

/**
 * An accelerator's memory, in GiB.
 *
 * @param device all of it
 * @param reserved for activations and the runtime
 * @param encoder weights of the encode stage
 * @param decoder weights of prefill and decode
 * @param kvShare of what is left, where it holds KV blocks and media tokens
 */
public record DeviceMemory(
    double device, double reserved, double encoder, double decoder, double kvShare) {
  private static final double GIB = 1L << 30;

  /** What is left for blocks on a device, bytes. */
  public record Room(long kv, long media) {}

  /**
   * Room on a device that holds these stages. Only stages that have use for it get any: media
   * tokens are made where there is an encoder and pulled to where there is prefill.
   *
   * @throws InvalidRequest when the weights leave none
   */
  public Room room(boolean encodes, boolean prefills, boolean decodes) {
    boolean decoder = prefills || decodes;
    double left = device - reserved - (encodes ? encoder : 0) - (decoder ? this.decoder : 0);
    if (left <= 0) {
      throw new InvalidRequest(
          "The cost profile's device has %.1f GiB, of which weights and what is reserved leave nothing; put fewer stages on a node or give it more with memory.device_gib"
              .formatted(device));
    }
    boolean media = encodes || prefills;
    double kv = decoder ? (media ? kvShare : 1) * left : 0;
    return new Room((long) (kv * GIB), (long) ((left - kv) * GIB));
  }
}
