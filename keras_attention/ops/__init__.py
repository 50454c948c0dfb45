"""The equations of attention, as pure functions on tensors."""
