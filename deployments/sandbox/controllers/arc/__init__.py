"""Actions Runner Controller in small: scale sets registered at the stand-in for GitHub, with listeners and runners."""
