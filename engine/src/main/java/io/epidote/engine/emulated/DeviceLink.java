package io.epidote.engine.emulated;

/**
 * How a device is connected to others.
 *
 * @param gigabytesPerSecond 10⁹ bytes a second into the device
 * @param latencyMs from asking for bytes to the first
 */
public record DeviceLink(double gigabytesPerSecond, double latencyMs) {}
