//Numpy array shape [4]
//Min -0.442949205637
//Max 0.109116539359
//Number of zeros 0

#ifndef B6_H_
#define B6_H_

#ifndef __SYNTHESIS__
d3_bias_t b6[4];
#else
d3_bias_t b6[4] = {0.0216409117, 0.1091165394, -0.3928752542, -0.4429492056};

#endif

#endif
