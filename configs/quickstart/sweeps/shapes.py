# All methods on Shapes, one small network from scratch, three seeds: the table of the quickstart.
bases = [
    'ts-cam_small-vit_shapes',
    'sat_small-vit_shapes',
    'catr_small-vit_shapes',
    'cdtr_small-vit_shapes_noclip',
    'trt_small-vit_shapes',
    'locloc_small-vit_shapes',
    'dips_small-vit_shapes',
]
seeds = [0, 1, 2]
metrics = ['cls/top1', 'loc/top1', 'loc/gt_known', 'loc/max_box_acc', 'loc/max_box_acc_v2']
