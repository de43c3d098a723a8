//Numpy array shape [3]
//Min -0.050236832350
//Max 0.487537443638
//Number of zeros 0

#ifndef B7_H_
#define B7_H_

#ifndef __SYNTHESIS__
d4_bias_t b7[3];
#else
d4_bias_t b7[3] = {-0.050237, 0.267661, 0.487537};

#endif

#endif
