"""MQTT: one connection to a broker, as uplink and the emergency call use it, each with its own credential."""
